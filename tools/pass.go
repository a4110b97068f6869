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
func (s *Saver) Pass(ctx context.Context, claimURL string, check func(*kubbi.Inspected) error, write func(*kubbi.Claimed) error) (*kubbi.Claimed, error) {
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
	got, until := key.payload, key.Until
	if got == nil {
		opts := claimOptions(ctx, key, seen)
		if s.state != nil {
			file, err := s.state.spool()
			if err != nil { // the payload may be read all the same
				s.log.Warn("a claim's answer can't be kept on disk", "error", err)
			} else {
				defer file.Close()
				opts = append(opts, kubbi.ToFile(func() (kubbi.PayloadFile, error) { return file, nil }))
			}
		}
		if got, err = s.client.Claim(ctx, claimURL, opts...); err != nil {
			key.failed(err)
			return nil, err
		}
		until = key.graceEnds(got.Grace)
	}
	switch err := write(got); {
	case err == nil:
		got.ReleaseSoon(ctx)
		key.drop()
		return got, nil
	case got.InFile:
		return nil, s.notSaved(err, key, got)
	default:
		out := &Unsaved{Err: err}
		if key.file != nil || key.payload != nil { // or else the key is lost with this process
			out.Grace = max(time.Until(until), 0)
		}
		key.lost(until)
		return nil, out
	}
}
