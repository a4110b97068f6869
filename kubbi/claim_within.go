package kubbi

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// ClaimWithin is Claim for a payload that is expected to be small. What arrives is
// counted, whatever the service said before: an answer of at most limit bytes is
// given as by Claim. A larger one is given as by ClaimSpooled, in the file that spool
// makes. Without spool a larger answer is an error with Uncertain set.
//
// Exactly one of the payloads is not nil when the error is nil. The spool is asked
// for once for each attempt that needs it; the caller closes what it made.
func (c *Client) ClaimWithin(ctx context.Context, urlOrToken string, limit int64, spool func() (SpoolFile, error), opts ...ClaimOption) (*Claimed, *Spooled, error) {
	k, err := c.claiming(ctx, urlOrToken, opts)
	if err != nil {
		return nil, nil, err
	}
	var (
		small *Claimed
		large *Spooled
	)
	limit = min(limit, c.answerLimit)
	k.claim.limit = limit
	if spool != nil {
		k.claim.limit = max(c.spoolLimit, limit)
	}
	k.claim.receive = func(resp *http.Response, body io.Reader) (err error) {
		small, large, err = k.within(resp, body, limit, spool)
		return err
	}
	if _, _, err := do[nothing](ctx, c, k.claim); err != nil {
		return nil, nil, err
	}
	if small != nil {
		k.arrived(ctx, &small.Grace, &small.release)
	} else {
		k.arrived(ctx, &large.Grace, &large.release)
	}
	return small, large, nil
}

func (k *claiming) within(resp *http.Response, body io.Reader, limit int64, spool func() (SpoolFile, error)) (*Claimed, *Spooled, error) {
	a, err := k.read(resp, body)
	if err != nil {
		return nil, nil, err
	}
	if a.size <= limit {
		small, err := k.inMemory(resp, a)
		return small, nil, err
	}
	if spool == nil {
		return nil, nil, tooLarge(limit)
	}
	large, end, err := k.inParts(resp, a)
	if err != nil {
		return nil, nil, err
	}
	if e := checkSeal(k.unsealing, large.Metadata); e != nil {
		return nil, nil, spent(e)
	}
	if a.raw == nil {
		return nil, large, k.opened(large)
	}
	file, err := spool()
	if err != nil {
		return nil, nil, errors.Join(errSpool, err)
	}
	return nil, large, k.kept(large, end, file)
}
