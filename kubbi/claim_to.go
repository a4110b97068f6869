package kubbi

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ClaimTo is Claim, and calls take with the payload while the payload is being received.
// take may open each part once, in order; after it has returned, no part can be opened.
// If the claim needs another attempt, take is called again and must start from the
// beginning. A sealed payload is decrypted while it is received. All bytes that take
// gets are authentic, but only when ClaimTo has returned is it certain that none are
// missing.
//
// A service without a grace (Grace is 0) gives a payload only once. Then ClaimTo first
// stores the payload, in the file that open makes, as with ToFile, or in memory if open is
// nil, and calls take after that. The file must stay until the caller no longer needs
// the payload.
//
// The errors are those of Claim, and the error of take, which is returned together with
// the payload.
func (c *Client) ClaimTo(ctx context.Context, urlOrToken string, open func() (PayloadFile, error), take func(*Claimed) error, opts ...ClaimOption) (*Claimed, error) {
	k, err := c.newClaim(ctx, urlOrToken, slices.Concat(opts, []ClaimOption{ToFile(open), func(c *claimConfig) { c.stream = true }}))
	if err != nil {
		return nil, err
	}
	var (
		out    *Claimed
		failed error // of take
	)
	err = k.do(ctx, func(a *arrival) (err error) {
		if a.Grace == 0 {
			if out, err = k.place(a); err == nil {
				failed = take(out)
			}
			return err
		}
		out = a.Claimed
		var in *unsealed
		if k.key != nil {
			if in, err = k.key.openStream(a); err != nil {
				return err
			}
		}
		failed = take(out)
		if damage := in.damage(); failed != nil && damage != nil {
			failed = nil
			return damage
		}
		switch end := ctx.Err(); {
		case failed != nil && end != nil:
			return fmt.Errorf("%w: %w", errCutShort, end)
		case failed != nil:
			return errors.Join(errNotKept, failed)
		}
		return a.end()
	})
	switch {
	case failed != nil && (err == nil || errors.Is(err, errNotKept)):
		return out, failed
	case err != nil:
		return nil, err
	}
	k.settle(ctx, out)
	return out, nil
}
