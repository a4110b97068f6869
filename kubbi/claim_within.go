package kubbi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"kubbi-mcp/kubbi/api"
)

// takenApart is up to which size ClaimWithin takes an answer in JSON apart, which
// stands in memory for that.
const takenApart = 8 << 20

// AnswerName is the name of the only part of a payload that is an answer in JSON.
const AnswerName = "answer.json"

// ClaimWithin is Claim for a payload that is expected to be small. What arrives is
// counted, whatever the service said before: an answer of at most limit bytes is
// given as by Claim. A larger one is given as by ClaimSpooled, in the file that spool
// makes. Without spool a larger answer is an error with Uncertain set.
//
// An answer in JSON of more than 8 MiB is kept as it is: it is the only part, with the
// name AnswerName, and what is sealed is not opened then.
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
	if spool != nil && !isRaw(resp.Header.Get("Content-Type")) {
		begun, err := io.ReadAll(io.LimitReader(body, max(limit, takenApart)+1))
		if err != nil {
			return nil, nil, err
		}
		if int64(len(begun)) > max(limit, takenApart) {
			large, err := k.whole(resp, io.MultiReader(bytes.NewReader(begun), body), spool)
			return nil, large, err
		}
		body = bytes.NewReader(begun)
	}
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
	if a.raw != nil {
		if err := large.keepIn(spool, end); err != nil {
			return nil, nil, err
		}
	}
	if err := k.openKept(large); err != nil {
		return nil, nil, err
	}
	return nil, large, nil
}

// whole keeps an answer in JSON as it is.
func (k *claiming) whole(resp *http.Response, body io.Reader, spool func() (SpoolFile, error)) (*Spooled, error) {
	answer := Part{Name: AnswerName, ContentType: api.TypeJSON, Size: 1 << 20, open: func() (io.Reader, error) { return body, nil }}
	out := &Spooled{Parts: []Part{answer}, client: k.client, whole: true}
	if k.unsealing != nil {
		mark, err := k.unsealing.mark(nil, false)
		if err != nil {
			return nil, err
		}
		out.Metadata = json.RawMessage(mark.Value)
	}
	out.Remaining, out.RemainingKnown = remaining(resp.Header.Get(api.HeaderRemainingReads), false)
	out.Grace, out.release = k.grace(resp.Header)
	return out, out.keepIn(spool, func() error { return nil })
}
