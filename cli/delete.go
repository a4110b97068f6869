package cli

import "fmt"

// deleteCmd is `kubbi-mcp delete`.
type deleteCmd struct {
	ID   string `arg:"" name:"id" help:"The kubbi's id."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run ends one of the caller's kubbis.
func (c *deleteCmd) Run(a *app) error {
	b, err := a.connect()
	if err != nil {
		return err
	}
	deleted, err := b.client.Delete(a.ctx, c.ID)
	if err != nil {
		return closing(b, fmt.Errorf("delete: %w", err))
	}
	if c.JSON {
		return closing(b, a.printJSON(deleted))
	}
	a.remark("deleted; its payload is wiped")
	return closing(b, nil)
}
