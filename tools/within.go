package tools

import (
	"context"

	"kubbi-mcp/internal/spool"
	"kubbi-mcp/kubbi"
)

// within claims what is expected to be small. A payload over limit bytes is to be read
// before done is called.
func (s *Saver) within(ctx context.Context, claimURL string, limit int64, key *claimKey, seen *kubbi.Inspected) (small *kubbi.Claimed, large *kubbi.Spooled, done func(), err error) {
	var file *spool.Spool
	done = func() {
		if file != nil {
			file.Close()
		}
	}
	open := func() (kubbi.SpoolFile, error) {
		if file == nil { // or else this is another attempt
			f, err := s.state.spool()
			if err != nil {
				return nil, s.unwritable("make a spool file", err)
			}
			file = f
		}
		return file, nil
	}
	if s.state == nil {
		open = nil
	}
	small, large, err = s.client.ClaimWithin(ctx, claimURL, limit, open, claimOptions(ctx, key, seen)...)
	if err != nil {
		key.failed(err)
	}
	return small, large, done, err
}

// notOpened keeps a sealed payload that is too large to be shown, as it came.
func (s *Saver) notOpened(err error, key *claimKey, got *kubbi.Spooled) error {
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
