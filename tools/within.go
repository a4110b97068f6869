package tools

import (
	"context"

	"kubbi-mcp/internal/spool"
	"kubbi-mcp/kubbi"
)

// within claims a payload that is expected to be small. A payload over limit bytes is in
// a file, and must be read before done is called.
func (s *Saver) within(ctx context.Context, claimURL string, limit int64, key *claimKey, seen *kubbi.Inspected) (got *kubbi.Claimed, done func(), err error) {
	var file *spool.Spool
	done = func() {
		if file != nil {
			file.Close()
		}
	}
	open := func() (kubbi.PayloadFile, error) {
		if file == nil { // or else this is another attempt
			f, err := s.state.spool()
			if err != nil {
				return nil, s.unwritable("make a spool file", err)
			}
			file = f
		}
		return file, nil
	}
	opts := append(claimOptions(ctx, key, seen), kubbi.Within(limit))
	if s.state != nil {
		opts = append(opts, kubbi.ToFile(open))
	}
	if got, err = s.client.Claim(ctx, claimURL, opts...); err != nil {
		key.failed(err)
	}
	return got, done, err
}

// notOpened keeps a sealed payload that is too large to be shown, as it came.
func (s *Saver) notOpened(err error, key *claimKey, got *kubbi.Claimed) error {
	if got.Grace > 0 {
		return s.notSaved(err, key, got)
	}
	key.drop()
	kept, kerr := s.state.keepAnswer(got)
	if kerr != nil {
		s.log.Error("keep the answer to a claim", "error", kerr)
	}
	return &Unsaved{Err: err, Kept: kept}
}
