package tools

import (
	"context"

	"kubbi-mcp/internal/spool"
	"kubbi-mcp/kubbi"
)

// within claims what is expected to be small. An answer over limit bytes is in the
// spool, which is nil otherwise.
func (s *Saver) within(ctx context.Context, claimURL string, limit int64, key *claimKey, seen *kubbi.Inspected) (*kubbi.Claimed, *kubbi.Spooled, *spool.Spool, error) {
	var file *spool.Spool
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
	got, large, err := s.client.ClaimWithin(ctx, claimURL, limit, open, claimOptions(ctx, key, seen)...)
	if err != nil {
		key.failed(err)
		if file != nil {
			file.Close()
		}
		return nil, nil, nil, err
	}
	if large == nil && file != nil { // of an attempt that did not end well
		file.Close()
		file = nil
	}
	return got, large, file, nil
}

// notOpened keeps an answer that is still sealed, and more than was to be opened.
func (s *Saver) notOpened(err error, key *claimKey, got *kubbi.Spooled, spool *spool.Spool) error {
	if got.Grace > 0 {
		return s.notSaved(err, key, got, spool)
	}
	key.drop()
	kept, kerr := s.state.keepAnswer(spool.Section(0, spool.Len()))
	if kerr != nil {
		s.log.Error("keep the answer to a claim", "error", kerr)
	}
	return &Unsaved{Err: err, Kept: kept}
}
