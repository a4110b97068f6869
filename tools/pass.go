package tools

import (
	"context"
	"time"

	"kubbi-mcp/kubbi"
)

// Pass claims and has write pass the payload on, as to standard output. check may
// refuse before a retrieval is spent; it is not asked where the claim repeats one
// that may have used it up. A payload that write could not pass on can be claimed
// again, as after Save, and so can one whose process ended while it wrote. Errors
// are those of kubbi.Client.Claim and of check, and *Unsaved with that of write.
func (s *Saver) Pass(ctx context.Context, claimURL string, check func(*kubbi.Inspected) error, write func(*kubbi.Spooled) error) (*kubbi.Spooled, error) {
	key, seen, err := s.begin(ctx, claimURL, repeatGiven)
	if err != nil {
		return nil, err
	}
	if seen != nil {
		if err := check(seen); err != nil {
			key.unused()
			return nil, err
		}
	}
	if s.state == nil || key.payload != nil {
		return s.passMemory(ctx, claimURL, key, seen, write)
	}
	spool, err := s.state.spool()
	if err != nil { // the payload may be read all the same
		s.log.Warn("a claim's answer can't be kept on disk", "error", err)
		return s.passMemory(ctx, claimURL, key, seen, write)
	}
	defer spool.Close()
	got, err := s.client.ClaimSpooled(ctx, claimURL, spool, claimOptions(ctx, key, seen)...)
	if err != nil {
		key.failed(err)
		return nil, err
	}
	if err := write(got); err != nil {
		return nil, s.notSaved(err, key, got)
	}
	got.ReleaseSoon(ctx)
	key.drop()
	return got, nil
}

// passMemory is Pass with a payload that stands in memory.
func (s *Saver) passMemory(ctx context.Context, claimURL string, key *claimKey, seen *kubbi.Inspected, write func(*kubbi.Spooled) error) (*kubbi.Spooled, error) {
	claimed, until := key.payload, key.Until
	if claimed == nil {
		var err error
		if claimed, err = s.client.Claim(ctx, claimURL, claimOptions(ctx, key, seen)...); err != nil {
			key.failed(err)
			return nil, err
		}
		until = key.graceEnds(claimed.Grace)
	}
	got, err := claimed.Spooled()
	if err == nil {
		err = write(got)
	}
	if err != nil {
		out := &Unsaved{Err: err}
		if key.file != nil || key.payload != nil { // or else the key is lost with this process
			out.Grace = max(time.Until(until), 0)
		}
		key.lost(until)
		return nil, out
	}
	claimed.ReleaseSoon(ctx)
	key.drop()
	return got, nil
}
