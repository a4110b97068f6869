package cli

import (
	"context"

	"kubbi-mcp/kubbi/api"
)

// deleteCmd is `kubbi-mcp delete`.
type deleteCmd struct {
	ID   string `arg:"" name:"id" help:"The id of a kubbi or of a request."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run ends one of the caller's kubbis, or withdraws a request. Without --json it prints a
// remark only.
func (c *deleteCmd) Run(a *app) error {
	remove := func(b *backend) (any, error) {
		gone, err := b.client.Delete(a.ctx, c.ID)
		if err == nil {
			err = b.forgetHandle(a.ctx, c.ID)
		}
		return orRequest(gone, err, func() (*api.Asked, error) { return b.withdraw(a.ctx, c.ID) })
	}
	return show(a, "delete", c.JSON, remove, func(answer any) string {
		if _, ok := answer.(*api.Asked); ok {
			a.remark("withdrawn; it can't be answered any more")
		} else {
			a.remark("deleted; its payload is wiped")
		}
		return ""
	})
}

// withdraw withdraws a request and forgets the claim URL of its answer.
func (b *backend) withdraw(ctx context.Context, id string) (*api.Asked, error) {
	asked, err := b.client.Withdraw(ctx, id)
	if err != nil {
		return nil, err
	}
	return asked, b.forgetHandle(ctx, asked.ID)
}
