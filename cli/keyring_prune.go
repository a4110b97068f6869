package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/keyring"
)

// keyringPruneCmd is `kubbi-mcp keyring prune`.
type keyringPruneCmd struct {
	keyringFlag
	storeFlag
	Margin seconds `placeholder:"TIME" default:"10m" help:"How long ago a key must have stopped sealing: seconds, or a duration (${default})."`
	Print  bool    `help:"Print the new keyring, secrets included, and leave the old one as it is."`
	JSON   bool    `name:"json" help:"Print JSON."`
}

// Run removes the keys that no kubbi needs.
func (c *keyringPruneCmd) Run(a *app) error {
	source, ring, err := a.readKeyring(c.Keyring)
	if err != nil {
		return err
	}
	if err := checkStoreNamed(source, c.Keyring, c.Store); err != nil {
		return err
	}
	db, err := a.openExisting(c.Store)
	if err != nil {
		return err
	}
	defer db.Close() // nothing was written to it
	var report keyring.Pruned
	prune := func(old *atrest.Keyring) (left *atrest.Keyring, err error) {
		left, report, err = keyring.Prune(old, time.Now(), c.Margin.duration(), func() ([]string, error) { return db.MasterKeys(a.ctx) })
		return left, err
	}
	if c.Print {
		left, err := prune(ring)
		return a.printKeyring(cmp.Or(left, ring), err)
	}
	f, err := keyringFile(source)
	if err != nil {
		return err
	}
	if err := keyring.Edit(a.ctx, f, prune); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(report)
	}
	var text strings.Builder
	for _, id := range report.Removed {
		fmt.Fprintf(&text, "removed %s\n", id)
	}
	for _, k := range report.Kept {
		fmt.Fprintf(&text, "kept %s: %s\n", k.ID, k.Reason)
	}
	return a.print(text.String())
}
