package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/kubbi/api"
)

// keyringRotateCmd is `kubbi-mcp keyring rotate`.
type keyringRotateCmd struct {
	keyringFlag
	storeFlag
	After seconds `xor:"from" placeholder:"TIME" help:"How long until the key seals, so that every node has it by then: seconds, or a duration such as 10m (1m)."`
	Now   bool    `xor:"from" help:"Let the key seal at once."`
	New   bool    `help:"With --print: begin a keyring of one key, rather than adding to one."`
	Print bool    `help:"Print the new keyring, secrets included, and leave the old one as it is."`

	Every  seconds `placeholder:"TIME" help:"Run until stopped: add a key in each period of that length, such as 1h, and remove those that no kubbi in --store needs."`
	Margin seconds `placeholder:"TIME" help:"With --every: how long ago a key must have stopped sealing before it is removed (10m)."`
	JSON   bool    `name:"json" help:"Print JSON."`
}

// Run adds a key.
func (c *keyringRotateCmd) Run(a *app) error {
	if c.New && !c.Print {
		return usagef("--new makes a keyring that is not stored anywhere: it goes with --print")
	}
	if c.Every != 0 {
		return c.rotateByTheClock(a)
	}
	if c.Margin != 0 {
		return usagef("--margin goes with --every")
	}
	now := time.Now()
	if c.New {
		return a.printKeyring(atrest.NewKeyring(rand.Reader, now))
	}
	var from time.Time // at once
	if !c.Now {
		from = now.Add(c.after())
	}
	source, ring, err := a.readKeyring(c.Keyring)
	if err != nil {
		return err
	}
	if c.Print {
		return a.printKeyring(ring.With(rand.Reader, now, from))
	}
	f, err := keyringFile(source)
	if err != nil {
		return err
	}
	if err := keyring.Edit(a.ctx, f, func(old *atrest.Keyring) (_ *atrest.Keyring, err error) {
		ring, err = old.With(rand.Reader, now, from)
		return ring, err
	}); err != nil {
		return err
	}
	uses := keyring.Uses(ring, now)
	made := uses[len(uses)-1]
	if c.JSON {
		return a.printJSON(newMasterKeyJSON(made, nil))
	}
	if from.IsZero() {
		return a.print(made.ID + " seals from now on\n")
	}
	return a.print(sealsFrom(made))
}

// after is how long until a new key seals.
func (c *keyringRotateCmd) after() time.Duration { return cmp.Or(c.After.duration(), time.Minute) }

func sealsFrom(u keyring.Use) string {
	return fmt.Sprintf("%s seals from %s\n", u.ID, localTime(api.NewTime(u.UseFrom)))
}

// rotateByTheClock rotates and prunes until the context ends.
func (c *keyringRotateCmd) rotateByTheClock(a *app) error {
	if c.New || c.Now || c.Print || c.JSON {
		return usagef("--every goes with --after and --margin alone: it changes a file, and says in lines of text what it did")
	}
	source, _, err := a.readKeyring(c.Keyring)
	if err != nil {
		return err
	}
	f, err := keyringFile(source)
	if err != nil {
		return err
	}
	if err := checkStoreNamed(source, c.Keyring, c.Store); err != nil {
		return err
	}
	r := &keyring.Rotation{
		File: f, Every: c.Every.duration(), After: c.after(), Margin: cmp.Or(c.Margin.duration(), keyring.DefaultMargin), Random: rand.Reader, Logger: a.log,
		Needs:   func(ctx context.Context) ([]string, error) { return a.with(ctx).neededKeys(c.Store) },
		Made:    func(u keyring.Use) { _ = a.print(sealsFrom(u)) }, // an output that fails does not undo the rotation
		Removed: func(id string) { _ = a.print("removed " + id + "\n") },
	}
	if r.After >= r.Every {
		return usagef("--every must be longer than --after (%s): a key is to seal before the next one is made", r.After)
	}
	if _, err := r.Needs(a.ctx); err != nil {
		return err // a wrong --store fails now, not in an hour
	}
	return r.Run(a.ctx)
}
