package tools

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/args"
	"kubbi-mcp/tools/files"
)

// Unsaved says that a claim has counted and its payload could not be saved, and
// where that is now.
type Unsaved struct {
	Err   error
	Grace time.Duration // for how long the relay gives it to the same claim, made again; 0: not at all
	Kept  string        // the file with the answer of a service that does not, JSON with the payload in it; "": there is none
}

// Error says so to people.
func (u *Unsaved) Error() string {
	text := "claimed, but not saved: " + u.Err.Error()
	switch {
	case u.Kept != "": // this process may be about to end
		return text + fmt.Sprintf("; it is not lost: the service's answer, JSON with the payload in it, is in %s for a day", u.Kept)
	case u.Grace > 0:
		return text + fmt.Sprintf("; it is not lost: claim again within %d seconds, which counts once", int(u.Grace.Seconds()))
	}
	return text
}

// Unwrap gives what went wrong.
func (u *Unsaved) Unwrap() error { return u.Err }

// explain words it for a model.
func (u *Unsaved) explain() string {
	text := "The payload was claimed and could not be saved: " + sentence(u.Err.Error())
	if u.Grace > 0 {
		text += fmt.Sprintf(" It is not lost: it can be had for %d seconds. Mend this, or choose another folder, and claim again with the same claim_url; it counts once.", int(u.Grace.Seconds()))
	}
	switch {
	case u.Kept != "" && u.Grace > 0:
		text += fmt.Sprintf(" The service's answer, still sealed, is in %q for a day.", u.Kept)
	case u.Kept != "":
		text += fmt.Sprintf(" It is not lost: the service's answer, JSON with the payload in it, is in %q for a day; tell your user.", u.Kept)
	}
	return text
}

// alreadyGiven says that the caller has claimed this before, and that the payload
// stands in an answer of a moment ago.
type alreadyGiven struct{ left time.Duration }

func (a *alreadyGiven) Error() string {
	return fmt.Sprintf("claimed already; it can be had again for %d seconds", int(a.left.Seconds()))
}

// explain words it for a model.
func (a *alreadyGiven) explain() string {
	return fmt.Sprintf("You have claimed this already, and its content was in the answer to that call; it was the last retrieval. "+
		"If that content did not reach you whole, call claim again within %d seconds with again: true, or with save_to: it counts once.", int(a.left.Seconds()))
}

// nothingAgain refuses a claim with again: true that repeats none.
const nothingAgain = args.Error("again: true repeats a claim that you made a moment ago, and there is none of this claim_url: " +
	"it was never claimed by you, or its time to be repeated is over. Leave again out to claim it.")

// Saver makes a caller's claims in such a way that no payload is lost on the way,
// whether it goes into an answer or into a folder.
type Saver struct {
	client *kubbi.Client
	state  *State
	keys   claimKeys
	log    *slog.Logger
}

// claimPatience is how long a claim waits for another of the same URL, as of one
// that was cancelled and is not quite over.
const claimPatience = 5 * time.Second

// NewSaver makes a saver. state may be nil; then only what is small can be
// claimed, and nothing is kept for another process. caller says whose claims they
// are, where several share a state.
func NewSaver(client *kubbi.Client, state *State, caller string, log *slog.Logger) *Saver {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Saver{client: client, state: state, keys: claimKeys{state: state, caller: caller, log: log, patience: claimPatience}, log: log}
}

// SessionEnded is called when a client has ended its session. An answer that it
// may not have read can be had again by the next one of the same caller.
func (s *Saver) SessionEnded(session string) { s.keys.sessionEnded(session) }

// Close lets go of the claims whose answers may not have been read. Another
// process with the same state can repeat them.
func (s *Saver) Close() { s.keys.close() }

// repeats says what a claim is to do with one that was made before.
type repeats int

const (
	repeatLost  repeats = iota // repeat it if its answer was lost
	repeatGiven                // repeat it also if its answer was written
	repeatOnly                 // and refuse if there is none to repeat
)

// begin takes the key for a claim and looks at what there is. That is nil where
// the claim repeats one that may have used it up.
func (s *Saver) begin(ctx context.Context, claimURL string, how repeats) (*claimKey, *kubbi.Inspected, error) {
	key, err := s.keys.take(ctx, claimURL)
	if err != nil {
		return nil, nil, err
	}
	if how == repeatOnly && !key.again() {
		key.drop()
		return nil, nil, nothingAgain
	}
	repeat := key.again() && (how != repeatLost || !key.Given)
	if repeat && key.payload != nil {
		return key, nil, nil
	}
	seen, err := s.client.Inspect(ctx, claimURL)
	gone := errors.Is(err, kubbi.ErrGone) || errors.Is(err, kubbi.ErrExpired)
	switch {
	case err == nil && key.again() && !repeat: // it asks for another retrieval
		key.end()
		return key, seen, key.renew()
	case err == nil:
		return key, seen, nil
	case gone && repeat:
		return key, nil, nil
	case gone && key.again():
		left := time.Until(key.Until)
		key.unused()
		return nil, nil, &alreadyGiven{left: left}
	default:
		key.failed(err)
		return nil, nil, err
	}
}

// Save claims into the batch that open gives once there is something to claim,
// and commits it. What can be found to be in the way is found before a retrieval
// is spent. A claim of the same caller whose grace runs is repeated, and counts
// once. Errors are those of kubbi.Client.Claim, of open and of
// files.Batch.Check, and *Unsaved after a claim that has counted.
func (s *Saver) Save(ctx context.Context, claimURL string, open func() (*files.Batch, error)) (*kubbi.Spooled, []files.Saved, error) {
	return s.save(ctx, claimURL, repeatGiven, open)
}

func (s *Saver) save(ctx context.Context, claimURL string, how repeats, open func() (*files.Batch, error)) (*kubbi.Spooled, []files.Saved, error) {
	key, seen, err := s.begin(ctx, claimURL, how)
	if err != nil {
		return nil, nil, err
	}
	batch, closeBatch, err := s.begun(open)
	if err != nil {
		key.unused()
		return nil, nil, err
	}
	defer closeBatch()
	if seen != nil && seen.Type == api.TypePackage && !kubbi.IsSealed(seen) {
		batch.Named()
	}
	names, err := files.SaveNames(namesOf(seen))
	if err == nil {
		err = batch.Check(names, key.again())
	}
	if err != nil {
		key.unused()
		return nil, nil, err
	}
	if key.payload != nil {
		return s.saveKept(ctx, key, batch)
	}
	return s.receive(ctx, claimURL, key, seen, batch)
}

// receive claims into a batch, as the payload comes, and then ends the grace. What a
// service gives once goes to a spool first.
func (s *Saver) receive(ctx context.Context, claimURL string, key *claimKey, seen *kubbi.Inspected, batch *files.Batch) (*kubbi.Spooled, []files.Saved, error) {
	if s.state == nil {
		key.unused()
		return nil, nil, files.Refusal("this server has no data directory to receive it in")
	}
	spool, err := s.state.spool()
	if err != nil {
		key.unused()
		return nil, nil, s.unwritable("make a spool file", err)
	}
	defer spool.Close()
	got, err := s.client.ClaimTo(ctx, claimURL, func() (kubbi.SpoolFile, error) { return spool, nil }, func(got *kubbi.Spooled) error {
		return stageParts(ctx, batch, got)
	}, claimOptions(ctx, key, seen)...)
	if got == nil {
		key.failed(err)
		return nil, nil, err
	}
	var saved []files.Saved
	if err == nil {
		saved, err = commitParts(batch, got)
	}
	if err != nil {
		return nil, nil, s.notSaved(err, key, got)
	}
	got.ReleaseSoon(ctx)
	key.drop()
	return got, saved, nil
}

// saveKept writes a payload that is in memory.
func (s *Saver) saveKept(ctx context.Context, key *claimKey, batch *files.Batch) (*kubbi.Spooled, []files.Saved, error) {
	got, err := key.payload.Spooled()
	if err != nil {
		key.unused()
		return nil, nil, err
	}
	saved, err := writeParts(ctx, batch, got)
	if err != nil {
		left := time.Until(key.Until)
		key.unused()
		return nil, nil, &Unsaved{Err: err, Grace: left}
	}
	key.arrived()
	return got, saved, nil
}

// namesOf are the names that are written, as far as they are known before the
// claim: those of what is sealed are not.
func namesOf(seen *kubbi.Inspected) []string {
	switch {
	case seen == nil, kubbi.IsSealed(seen):
		return nil
	case seen.Type != api.TypePackage:
		return []string{files.SingleName(seen.ContentType)}
	}
	names := make([]string, len(seen.Files))
	for i, f := range seen.Files {
		names[i] = f.Name
	}
	return names
}

// begun opens a batch, and notes it in the state for the case that this process
// dies. What it gives beside the batch closes it.
func (s *Saver) begun(open func() (*files.Batch, error)) (*files.Batch, func(), error) {
	batch, err := open()
	if err != nil || s.state == nil {
		return batch, func() { batch.Close() }, err
	}
	ended, err := s.state.saving(batch)
	if err != nil {
		batch.Close()
		return nil, nil, s.unwritable("note a save", err)
	}
	return batch, func() {
		if err := batch.Close(); err != nil {
			s.log.Warn("a temporary file was not removed", "error", err)
		}
		ended()
	}, nil
}

// unwritable says that the data directory can't be written.
func (s *Saver) unwritable(what string, err error) error {
	s.log.Error(what, "error", err)
	return files.Refusal("the data directory can't be written: tell your user")
}

func claimOptions(ctx context.Context, key *claimKey, seen *kubbi.Inspected) []kubbi.ClaimOption {
	opts := []kubbi.ClaimOption{kubbi.WithKey(key.Key), kubbi.HoldGrace(), kubbi.WithProgress(progressOf(ctx))}
	if seen != nil {
		opts = append(opts, kubbi.WithInspected(seen))
	}
	return opts
}

// notSaved keeps the payload where it can be had again. What a service gives once
// is written into a folder of the server's own. If that fails, or what was written
// is sealed, the payload stays in memory as well.
func (s *Saver) notSaved(err error, key *claimKey, got *kubbi.Spooled) error {
	out := &Unsaved{Err: err, Grace: got.Grace}
	if got.Grace > 0 {
		key.lost(key.graceEnds(got.Grace))
		return out
	}
	kept, kerr := s.state.keepAnswer(got)
	if kerr != nil {
		s.log.Error("keep the answer to a claim", "error", kerr)
	}
	out.Kept = kept
	sealed := kubbi.IsSealed(&kubbi.Inspected{InspectResponse: api.InspectResponse{Metadata: got.Metadata}})
	if (kerr != nil || sealed) && partsSize(got) <= maxWaitingBytes {
		if whole, err := got.Claimed(); err == nil {
			out.Grace, key.payload = graceUnknown, whole
			key.lost(time.Now().Add(graceUnknown))
			return out
		}
	}
	key.drop()
	return out
}

// partsSize is how many bytes a payload has.
func partsSize(got *kubbi.Spooled) (n int64) {
	for _, p := range got.Parts {
		n += p.Size
	}
	return n
}

// writeParts writes a payload's parts, all or none.
func writeParts(ctx context.Context, batch *files.Batch, got *kubbi.Spooled) ([]files.Saved, error) {
	if err := stageParts(ctx, batch, got); err != nil {
		return nil, err
	}
	return commitParts(batch, got)
}

// stageParts writes a payload's parts under temporary names, and takes away those of an
// earlier attempt.
func stageParts(ctx context.Context, batch *files.Batch, got *kubbi.Spooled) error {
	names, err := files.SaveNames(partNames(got))
	if err != nil {
		return err
	}
	if err := batch.Unstage(); err != nil {
		return err
	}
	if got.Type == api.TypePackage {
		batch.Named()
	}
	if err := batch.CheckSafe(names); err != nil {
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

// commitParts gives the parts their names.
func commitParts(batch *files.Batch, got *kubbi.Spooled) ([]files.Saved, error) {
	saved, err := batch.Commit()
	for i, name := range partNames(got)[:len(saved)] {
		saved[i].Name = name // what the sender calls it
	}
	return saved, err
}

// partNames are the names that the sender has given.
func partNames(got *kubbi.Spooled) (all []string) {
	for _, p := range got.Parts {
		all = append(all, partName(p))
	}
	return all
}

// partName is the name of a part.
func partName(p kubbi.Part) string {
	if p.Name == "" {
		return files.SingleName(p.ContentType)
	}
	return p.Name
}
