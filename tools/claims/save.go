package claims

import (
	"context"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// Save claims into the batch that open gives, and commits it. It calls open after inspect,
// and looks for errors before it spends a retrieval.
// Errors are those of Begin, of kubbi.Client.Claim, of open and of files.Batch.Check,
// and *Unsaved after a claim that has counted.
func (c *Claimer) Save(ctx context.Context, req Request, open func() (*files.Batch, error)) (*kubbi.Claimed, []files.Saved, error) {
	claim, err := c.Begin(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	defer claim.Close()
	batch, closeBatch, err := c.openBatch(open)
	if err != nil {
		claim.Cancel()
		return nil, nil, err
	}
	defer closeBatch()
	if err := check(batch, claim); err != nil {
		claim.Cancel()
		return nil, nil, err
	}
	got, err := claim.stageInto(ctx, batch)
	if got == nil {
		return nil, nil, err
	}
	var saved []files.Saved
	if err == nil {
		saved, err = commit(batch, got)
	}
	if err != nil {
		return nil, nil, claim.unsaved(err, got, true)
	}
	claim.key.arrived()
	return got, saved, nil
}

// check finds out whether the files that inspect names can be written.
func check(batch *files.Batch, claim *Claim) error {
	var names []string // those of a sealed payload are not known yet
	isPackage := false
	if seen := claim.Seen; seen != nil && !seen.Sealed() {
		if isPackage = seen.Type == api.TypePackage; isPackage {
			for _, f := range seen.Files {
				names = append(names, f.Name)
			}
		} else {
			names = []string{files.SingleName(seen.ContentType)}
		}
	}
	names, err := batch.Names(names, isPackage)
	if err != nil {
		return err
	}
	return batch.Check(names, claim.key.used())
}

// stageInto claims and writes the payload into a batch while it arrives. A payload that the
// service gives once goes to a spool first. If stageInto returns no payload, the claim has
// ended. If it returns a payload and an error, the claim has counted.
func (c *Claim) stageInto(ctx context.Context, batch *files.Batch) (*kubbi.Claimed, error) {
	if got := c.key.payload; got != nil {
		return got, stage(ctx, batch, got)
	}
	if c.claimer.state == nil {
		c.Cancel()
		return nil, files.Refusal("this server has no data directory to receive it in")
	}
	if _, err := c.openSpool(); err != nil {
		c.Cancel()
		return nil, err
	}
	got, err := c.claimer.client.ClaimTo(ctx, c.URL, c.openSpool, func(got *kubbi.Claimed) error {
		return stage(ctx, batch, got)
	}, c.options()...)
	if got == nil {
		c.key.failed(err)
		return nil, err
	}
	c.received(ctx, got)
	return got, err
}

// SaveReceived ends the claim: it writes the payload into a folder of the server's own.
// Errors are *Unsaved.
func (c *Claim) SaveReceived(ctx context.Context, got *kubbi.Claimed) ([]files.Saved, error) {
	batch, closeBatch, err := c.claimer.openBatch(c.claimer.ReceivedFolder)
	if err != nil {
		return nil, c.unsaved(err, got, true)
	}
	defer closeBatch()
	if err := stage(ctx, batch, got); err != nil {
		return nil, c.unsaved(err, got, true)
	}
	saved, err := commit(batch, got)
	if err != nil {
		return nil, c.unsaved(err, got, true)
	}
	c.key.arrived()
	return saved, nil
}

// ReceivedFolder begins a batch in a new folder of the server's own, which is kept for
// a day.
func (c *Claimer) ReceivedFolder() (*files.Batch, error) {
	if c.state == nil {
		return nil, files.Refusal("this server has no folder of its own")
	}
	dir, err := c.state.received()
	if err != nil {
		return nil, c.unwritable("make a folder for a claim", err)
	}
	return files.NewBatch(dir, false)
}

// openBatch opens a batch and records it in the journal, in case this process dies. The
// function that it returns closes the batch.
func (c *Claimer) openBatch(open func() (*files.Batch, error)) (*files.Batch, func(), error) {
	batch, err := open()
	if err != nil || c.state == nil {
		return batch, func() { batch.Close() }, err
	}
	ended, err := c.state.journal(batch)
	if err != nil {
		batch.Close()
		return nil, nil, c.unwritable("note a save", err)
	}
	return batch, func() {
		if err := batch.Close(); err != nil {
			c.log.Warn("a temporary file was not removed", "error", err)
		}
		ended()
	}, nil
}

// stage writes a payload's parts under temporary names. It removes those of an earlier
// attempt.
func stage(ctx context.Context, batch *files.Batch, got *kubbi.Claimed) error {
	names, err := batch.Names(partNames(got), got.Type == api.TypePackage)
	if err != nil {
		return err
	}
	if err := batch.Unstage(); err != nil {
		return err
	}
	for i, p := range got.Parts {
		r, err := p.Open()
		if err != nil {
			return err
		}
		if err := batch.Stage(ctx, names[i], r); err != nil {
			return err
		}
	}
	return nil
}

// commit gives the files their names. Its results have the sender's names.
func commit(batch *files.Batch, got *kubbi.Claimed) ([]files.Saved, error) {
	saved, err := batch.Commit()
	for i, name := range partNames(got)[:len(saved)] {
		saved[i].Name = name
	}
	return saved, err
}

// partNames are the names that the sender has given, or that a single content gets.
func partNames(got *kubbi.Claimed) (all []string) {
	for _, p := range got.Parts {
		name := p.Name
		if name == "" {
			name = files.SingleName(p.ContentType)
		}
		all = append(all, name)
	}
	return all
}
