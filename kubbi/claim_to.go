package kubbi

import (
	"context"
	"errors"
	"fmt"
)

// ClaimTo is Claim with the payload given to take while it is received. Within take each
// part is opened once, in their order; after it none can be. For a further attempt take
// is called again, and what it did before is void. A sealed payload is opened while it
// comes. Each byte is the sender's, but only when ClaimTo has returned is it known that
// none are missing.
//
// A service that keeps nothing for a claim (Grace is 0) would give no second chance. Its
// payload goes to the file that open makes, as with ToFile, or into memory if open is
// nil, and take is called when all of it is there. That file must stay until the caller
// needs the payload no more.
//
// Errors are those of Claim, and that of take with the payload beside it.
func (c *Client) ClaimTo(ctx context.Context, urlOrToken string, open func() (PayloadFile, error), take func(*Claimed) error, opts ...ClaimOption) (*Claimed, error) {
	k, err := c.newClaim(ctx, urlOrToken, append(opts, ToFile(open), func(c *claimConfig) { c.stream = true }))
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
