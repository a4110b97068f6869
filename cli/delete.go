package cli

import "kubbi-mcp/kubbi"

// deleteCmd is `kubbi-mcp delete`.
type deleteCmd struct {
	ID   string `arg:"" name:"id" help:"The kubbi's id."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run ends one of the caller's kubbis. Without --json it prints a remark only.
func (c *deleteCmd) Run(a *app) error {
	return show(a, "delete", c.JSON,
		func(k *kubbi.Client) (*kubbi.Deleted, error) {
			gone, err := k.Delete(a.ctx, c.ID)
			if err == nil {
				err = a.forgetHandle(c.ID)
			}
			return gone, err
		},
		func(*kubbi.Deleted) string {
			a.remark("deleted; its payload is wiped")
			return ""
		})
}
