package cli

import (
	"context"
	"crypto/rand"

	"kubbi-mcp/internal/keyring"
)

// goOn rotates and prunes by the clock, until the context ends.
func (c *keyringRotateCmd) goOn(a *app) error {
	if c.New || c.Now || c.Print || c.JSON {
		return usagef("--every goes with --after and --margin alone: it changes a file, and says in lines of text what it did")
	}
	source, _, err := a.readKeyring(c.Keyring)
	if err != nil {
		return err
	}
	f, err := ourFile(source)
	if err != nil {
		return err
	}
	if err := storeOf(source, c.Keyring, c.Store); err != nil {
		return err
	}
	r := &keyring.Rotation{
		File: f, Every: c.Every.duration(), After: c.After.duration(), Margin: c.Margin.duration(), Random: rand.Reader, Logger: a.log,
		Needs: func(ctx context.Context) ([]string, error) {
			at := *a
			at.ctx = ctx
			return at.neededKeys(c.Store)
		},
		Made:    func(u keyring.Use) { _ = a.print(sealsFrom(u)) }, // what is done is done, whoever reads it
		Removed: func(id string) { _ = a.print("removed " + id + "\n") },
	}
	if r.After == 0 {
		r.After = rotateAfter
	}
	if r.Margin == 0 {
		r.Margin = keyring.DefaultMargin
	}
	if r.After >= r.Every {
		return usagef("--every must be longer than --after (%s): a key is to seal before the next one is made", r.After)
	}
	if _, err := r.Needs(a.ctx); err != nil {
		return err // a wrong --store is told now, not in an hour
	}
	return r.Run(a.ctx)
}
