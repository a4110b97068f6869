package cli

import (
	"kubbi-mcp/kubbi"
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
	remove := func(k *kubbi.Client) (any, error) {
		gone, err := k.Delete(a.ctx, c.ID)
		if err == nil {
			err = a.forgetHandle(c.ID)
		}
		return orRequest(gone, err, func() (*api.Asked, error) { return a.withdraw(k, c.ID) })
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
func (a *app) withdraw(k *kubbi.Client, id string) (*api.Asked, error) {
	asked, err := k.Withdraw(a.ctx, id)
	if err != nil {
		return nil, err
	}
	return asked, a.forgetHandle(asked.ID)
}
