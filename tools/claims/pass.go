package claims

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kubbi-mcp/kubbi"
)

// Pass claims and calls write with the payload. write passes it on, for example to
// standard output. check may refuse before a retrieval is spent; it is not called for a
// repeated claim that may have used the kubbi up. If write fails, or the process ends
// meanwhile, the payload can be claimed again. Errors are those of Begin, of
// kubbi.Client.Claim and of check, and *Unsaved with the error of write.
func (c *Claimer) Pass(ctx context.Context, req Request, check func(*kubbi.Inspected) error, write func(*kubbi.Claimed) error) (*kubbi.Claimed, error) {
	got, err := c.PassAll(ctx, []Request{req}, func(_ int, seen *kubbi.Inspected) error { return check(seen) },
		func(got []*kubbi.Claimed) error { return write(got[0]) })
	if err != nil {
		return nil, err
	}
	return got[0], nil
}

// PassAll is Pass for several kubbis, which write gets together. All are inspected and
// checked before the first is claimed. If a later claim fails, the earlier ones can be
// made again, as if write had failed: the error is *Unsaved with that of the claim.
func (c *Claimer) PassAll(ctx context.Context, reqs []Request, check func(i int, seen *kubbi.Inspected) error, write func([]*kubbi.Claimed) error) ([]*kubbi.Claimed, error) {
	all, err := c.beginAll(ctx, reqs, check)
	if err != nil {
		return nil, err
	}
	var payloads []*kubbi.Claimed
	for i, claim := range all {
		defer claim.Close()
		var opts []kubbi.ClaimOption
		if c.state != nil {
			if _, err := claim.openSpool(); err == nil { // else the payload is in memory
				opts = append(opts, kubbi.ToFile(claim.openSpool))
			}
		}
		got, err := claim.fetch(ctx, opts...)
		if err != nil {
			for _, later := range all[i+1:] {
				later.Cancel()
			}
			return nil, notPassed(claim.named(err), all[:i], payloads)
		}
		payloads = append(payloads, got)
	}
	if err := write(payloads); err != nil {
		return nil, notPassed(err, all, payloads)
	}
	for _, claim := range all {
		claim.key.arrived()
	}
	return payloads, nil
}

// named adds the request's name to an error.
func (r Request) named(err error) error {
	if r.Name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", r.Name, err)
}

// beginAll begins and checks all claims, or none.
func (c *Claimer) beginAll(ctx context.Context, reqs []Request, check func(int, *kubbi.Inspected) error) (all []*Claim, err error) {
	for i, req := range reqs {
		claim, err := c.Begin(ctx, req)
		if err == nil {
			all = append(all, claim)
			if claim.Seen != nil {
				err = check(i, claim.Seen)
			}
		}
		if err != nil {
			err = req.named(err)
			for _, begun := range all {
				begun.Cancel()
			}
			return nil, err
		}
	}
	return all, nil
}

// notPassed ends claims that have counted, whose payloads were not passed on because
// of err.
func notPassed(err error, all []*Claim, payloads []*kubbi.Claimed) error {
	if len(all) == 0 {
		return err
	}
	out := &Unsaved{Err: err}
	var grace []time.Duration
	var kept []string
	for i, claim := range all {
		onDisk := claim.key.file != nil
		one := claim.unsaved(err, payloads[i], false)
		switch {
		case one.Kept != "":
			kept = append(kept, one.Kept)
		case onDisk:
			grace = append(grace, one.Grace)
		default: // the key ends with this process
			grace = append(grace, 0)
		}
	}
	out.Kept = strings.Join(kept, ", ")
	if len(grace) > 0 {
		out.Grace = slices.Min(grace)
	}
	return out
}
