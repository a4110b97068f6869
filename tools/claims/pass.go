package claims

import (
	"context"

	"kubbi-mcp/kubbi"
)

// Pass claims and calls write with the payload. write passes it on, for example to
// standard output. check may refuse before a retrieval is spent; it is not called for a
// repeated claim that may have used the kubbi up. If write fails, or the process ends
// meanwhile, the payload can be claimed again. Errors are those of Begin, of
// kubbi.Client.Claim and of check, and *Unsaved with the error of write.
func (c *Claimer) Pass(ctx context.Context, req Request, check func(*kubbi.Inspected) error, write func(*kubbi.Claimed) error) (*kubbi.Claimed, error) {
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
	var opts []kubbi.ClaimOption
	if c.state != nil {
		if _, err := claim.openSpool(); err == nil { // else the payload is in memory
			opts = append(opts, kubbi.ToFile(claim.openSpool))
		}
	}
	got, err := claim.fetch(ctx, opts...)
	if err != nil {
		return nil, err
	}
	if err := write(got); err != nil {
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
