package kubbi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"kubbi-mcp/kubbi/api"
)

// ClaimWithin is Claim for a payload that is expected to be small. What arrives is
// counted, whatever the service said before: an answer of at most limit bytes is
// given as by Claim. A larger one goes to the file that spool makes, and is given as
// by ClaimSpooled; but what is sealed is not opened then, and its parts are as they
// came. Without spool a larger answer is an error with Uncertain set.
//
// Exactly one of the payloads is not nil when the error is nil. The spool is asked
// for once for each attempt with a large answer; the caller closes what it made.
func (c *Client) ClaimWithin(ctx context.Context, urlOrToken string, limit int64, spool func() (SpoolFile, error), opts ...ClaimOption) (*Claimed, *Spooled, error) {
	k, err := c.claiming(ctx, urlOrToken, opts)
	if err != nil {
		return nil, nil, err
	}
	w := &claimWithin{limit: min(limit, c.answerLimit), spool: spool}
	k.claim.limit, k.claim.receive = w.limit, w.receive
	if spool != nil {
		k.claim.limit = max(c.spoolLimit, w.limit)
	}
	_, header, err := do[nothing](ctx, c, k.claim)
	if err != nil {
		return nil, nil, err
	}
	if w.large != nil {
		out := &Spooled{client: c}
		if e := checkSeal(k.unsealing, w.large.body.ClaimResponse.Metadata); e != nil {
			return nil, nil, spent(e)
		}
		if err := w.large.parts(out); err != nil {
			return nil, nil, err
		}
		out.Remaining, out.RemainingKnown = remaining(header.Get(api.HeaderRemainingReads), out.Burned)
		out.Grace, out.release = k.grace(ctx, header)
		return nil, out, nil
	}
	out, err := k.claimed(ctx, w.small, header)
	return out, nil, err
}

// claimWithin reads an answer into memory, or into a file if it is too large.
type claimWithin struct {
	limit int64
	spool func() (SpoolFile, error)
	small *api.ClaimResponse
	large *spooledAnswer
}

func (w *claimWithin) receive(r io.Reader) error {
	w.small, w.large = nil, nil
	b, err := io.ReadAll(io.LimitReader(r, w.limit+1))
	switch {
	case err != nil:
		return err
	case int64(len(b)) <= w.limit:
		w.small = new(api.ClaimResponse)
		return decode(b, w.small)
	case w.spool == nil:
		return fmt.Errorf("%w of %d bytes", errTooLarge, w.limit)
	}
	f, err := w.spool()
	if err != nil {
		return errors.Join(errSpool, err)
	}
	w.large = &spooledAnswer{file: f}
	return w.large.receive(io.MultiReader(bytes.NewReader(b), r))
}
