package claims

import (
	"context"

	"kubbi-mcp/kubbi"
)

// Pass claims and calls write with the payload, which it passes on to standard output,
// say. check may refuse before a retrieval is spent; it is not called for a repeated
// claim that may have used the kubbi up. If write fails, or the process ends while it
// writes, the payload can be claimed again. Errors are those of Begin, of
// kubbi.Client.Claim and of check, and *Unsaved with that of write.
func (c *Claimer) Pass(ctx context.Context, req Request, check func(*kubbi.Inspected) error, write func(*kubbi.Spooled) error) (*kubbi.Spooled, error) {
	claim, err := c.Begin(ctx, req)
	if err != nil {
		return nil, err
	}
	defer claim.Close()
	if claim.Seen != nil {
		if err := check(claim.Seen); err != nil {
			claim.Cancel()
			return nil, err
		}
	}
	got, err := claim.receiveWhole(ctx)
	if got == nil {
		return nil, err
	}
	if err == nil {
		err = write(got)
	}
	if err != nil {
		onDisk := claim.key.file != nil
		out := claim.unsaved(err, got, false)
		if !onDisk { // the key ends with this process
			out.Grace = 0
		}
		return nil, out
	}
	claim.key.arrived()
	return got, nil
}

// receiveWhole claims into a spool, or into memory if there can be none. Without a
// payload the claim has ended; with one and an error it has counted.
func (c *Claim) receiveWhole(ctx context.Context) (got *kubbi.Spooled, err error) {
	if c.by.state != nil {
		if c.spool, err = c.by.state.spool(); err != nil {
			c.by.log.Warn("a claim's answer can't be kept on disk", "error", err)
		}
	}
	if c.spool != nil {
		got, err = c.by.client.ClaimSpooled(ctx, c.URL, c.spool, c.options()...)
	} else {
		var claimed *kubbi.Claimed
		if claimed, err = c.by.client.Claim(ctx, c.URL, c.options()...); err == nil {
			if got, err = claimed.Spooled(); err != nil {
				got = &kubbi.Spooled{Grace: claimed.Grace} // it has counted
				c.received(ctx, got)
				return got, err
			}
		}
	}
	if err != nil {
		c.key.failed(err)
		return nil, err
	}
	c.received(ctx, got)
	return got, nil
}
