package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/kubbi/api"
)

// keyringFlag is the flag of commands that work with a relay's master keys.
type keyringFlag struct {
	Keyring string `name:"keyring" variable:"KUBBI_KEYRING" placeholder:"SOURCE" help:"The master keys: the path of a file, env:NAME, or command:PROGRAM and its arguments; by default keyring.json in the data directory."`
}

// keyringSource is the place that --keyring names.
func (a *app) keyringSource(name string) (keyring.Source, error) {
	if name == "" {
		dir, err := a.dataDir()
		if err != nil {
			return nil, usage(err)
		}
		return keyring.File(filepath.Join(dir, "keyring.json")), nil
	}
	source, err := keyring.Parse(name, a.getenv)
	if f, ok := source.(keyring.File); ok {
		var path string
		path, err = absolute(string(f))
		source = keyring.File(path)
	}
	if err != nil {
		return nil, usagef("--keyring (KUBBI_KEYRING): %w", err)
	}
	return source, nil
}

// readKeyring reads the keyring that --keyring names, which must be there.
func (a *app) readKeyring(name string) (keyring.Source, *atrest.Keyring, error) {
	source, err := a.keyringSource(name)
	if err != nil {
		return nil, nil, err
	}
	ring, err := keyring.Read(a.ctx, source)
	if errors.Is(err, fs.ErrNotExist) {
		if f, ok := source.(keyring.File); ok {
			return nil, nil, usagef("there is no keyring at %s: start its relay once, or name another with --keyring (KUBBI_KEYRING)", f)
		}
	}
	return source, ring, err
}

// keyringCmd is `kubbi-mcp keyring`.
type keyringCmd struct {
	Rotate keyringRotateCmd `cmd:"" help:"Add a master key, which seals from a minute from now; with --every, go on doing so and remove those that no kubbi needs."`
	List   keyringListCmd   `cmd:"" help:"List the master keys, oldest first, without their secrets."`
	Prune  keyringPruneCmd  `cmd:"" help:"Remove the master keys that no kubbi needs any more."`
}

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

const rotateAfter = time.Minute

// Run adds a key.
func (c *keyringRotateCmd) Run(a *app) error {
	if c.New && !c.Print {
		return usagef("--new makes a keyring that is not stored anywhere: it goes with --print")
	}
	if c.Every != 0 {
		return c.goOn(a)
	}
	if c.Margin != 0 {
		return usagef("--margin goes with --every")
	}
	now := time.Now()
	var from time.Time
	if after := c.After.duration(); !c.Now && !c.New {
		if after == 0 {
			after = rotateAfter
		}
		from = now.Add(after)
	}
	if c.New {
		return a.printKeyring(atrest.NewKeyring(rand.Reader, now))
	}
	source, ring, err := a.readKeyring(c.Keyring)
	if err != nil {
		return err
	}
	if c.Print {
		return a.printKeyring(ring.With(rand.Reader, now, from))
	}
	f, err := ourFile(source)
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
		return a.printJSON(shownMasterKey(made, nil))
	}
	if from.IsZero() {
		return a.print(made.ID + " seals from now on\n")
	}
	return a.print(sealsFrom(made))
}

func sealsFrom(u keyring.Use) string {
	return fmt.Sprintf("%s seals from %s\n", u.ID, localTime(api.NewTime(u.UseFrom)))
}

// printKeyring prints a keyring that was just made, secrets included.
func (a *app) printKeyring(ring *atrest.Keyring, err error) error {
	if err != nil {
		return err
	}
	text, err := ring.Encode()
	if err != nil {
		return err
	}
	return a.print(string(text))
}

// ourFile gives the file of a source, if it is one.
func ourFile(source keyring.Source) (keyring.File, error) {
	f, ok := source.(keyring.File)
	if !ok {
		return "", usagef("%s is not ours to change: print the new keyring with --print, and put it there", source)
	}
	return f, nil
}

// keyringListCmd is `kubbi-mcp keyring list`.
type keyringListCmd struct {
	keyringFlag
	storeFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the keys.
func (c *keyringListCmd) Run(a *app) error {
	_, ring, err := a.readKeyring(c.Keyring)
	if err != nil {
		return err
	}
	needed, err := a.neededKeys(c.Store)
	if err != nil {
		a.log.Warn("it is not known which keys are needed", "err", err)
	}
	list := masterKeyList{Keys: []masterKeyJSON{}}
	for _, u := range keyring.Uses(ring, time.Now()) {
		var need *bool
		if err == nil {
			need = new(slices.Contains(needed, u.ID))
		}
		list.Keys = append(list.Keys, shownMasterKey(u, need))
	}
	if c.JSON {
		return a.printJSON(list)
	}
	return a.print(masterKeysText(list.Keys))
}

// neededKeys gives the ids of the master keys that a store's kubbis need.
func (a *app) neededKeys(store string) ([]string, error) {
	db, err := a.openExisting(a.ctx, store)
	if err != nil {
		return nil, err
	}
	ids, err := db.MasterKeys(a.ctx)
	return ids, closingStore(db, err)
}

// masterKeyList is what keyring list --json prints.
type masterKeyList struct {
	Keys []masterKeyJSON `json:"keys"`
}

// masterKeyJSON is a master key as --json prints it.
type masterKeyJSON struct {
	ID        string        `json:"id"`
	State     keyring.State `json:"state"`
	CreatedAt api.Time      `json:"created_at"`
	UseFrom   *api.Time     `json:"use_from"`         // null: from the start
	Needed    *bool         `json:"needed,omitempty"` // left out where it is not known
}

func shownMasterKey(u keyring.Use, needed *bool) masterKeyJSON {
	return masterKeyJSON{ID: u.ID, State: u.State, CreatedAt: api.NewTime(u.CreatedAt), UseFrom: api.OptionalTime(u.UseFrom), Needed: needed}
}

func masterKeysText(keys []masterKeyJSON) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tCREATED\tSEALS FROM\tNEEDED")
	for _, k := range keys {
		from, needed := "-", "?"
		if k.UseFrom != nil {
			from = localTime(*k.UseFrom)
		}
		if k.Needed != nil {
			needed = map[bool]string{true: "yes", false: "no"}[*k.Needed]
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.ID, k.State, localTime(k.CreatedAt), from, needed)
	}
	w.Flush()
	return b.String()
}

// keyringPruneCmd is `kubbi-mcp keyring prune`.
type keyringPruneCmd struct {
	keyringFlag
	storeFlag
	Margin seconds `placeholder:"TIME" default:"10m" help:"How long ago a key must have stopped sealing: seconds, or a duration (${default})."`
	Print  bool    `help:"Print the new keyring, secrets included, and leave the old one as it is."`
	JSON   bool    `name:"json" help:"Print JSON."`
}

// Run removes the keys that are not needed.
func (c *keyringPruneCmd) Run(a *app) error {
	source, ring, err := a.readKeyring(c.Keyring)
	if err != nil {
		return err
	}
	if err := storeOf(source, c.Keyring, c.Store); err != nil {
		return err
	}
	db, err := a.openExisting(a.ctx, c.Store)
	if err != nil {
		return err
	}
	defer db.Close() // nothing was written to it
	report := pruned{Removed: []string{}, Kept: []keptKey{}}
	prune := func(old *atrest.Keyring) (*atrest.Keyring, error) {
		left, removed, kept, err := keyring.Prune(old, time.Now(), c.Margin.duration(), func() ([]string, error) { return db.MasterKeys(a.ctx) })
		report.Removed = append(report.Removed, removed...)
		for _, k := range kept {
			report.Kept = append(report.Kept, keptKey(k))
		}
		return left, err
	}
	if c.Print {
		left, err := prune(ring)
		if left == nil {
			left = ring
		}
		return a.printKeyring(left, err)
	}
	f, err := ourFile(source)
	if err != nil {
		return err
	}
	if err := keyring.Edit(a.ctx, f, prune); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(report)
	}
	return a.print(report.text())
}

// storeOf tells whether it was said which store has what a keyring seals.
func storeOf(source keyring.Source, keyringName, store string) error {
	if keyringName != "" && store == "" {
		// The data directory's store knows nothing of what this keyring seals.
		return usagef("say with --store (KUBBI_STORE) which store has the kubbis that are sealed under %s", source)
	}
	return nil
}

// pruned is what keyring prune --json prints.
type pruned struct {
	Removed []string  `json:"removed"`
	Kept    []keptKey `json:"kept"`
}

// keptKey is a keyring.KeptKey.
type keptKey struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func (p *pruned) text() string {
	var b strings.Builder
	for _, id := range p.Removed {
		fmt.Fprintf(&b, "removed %s\n", id)
	}
	for _, k := range p.Kept {
		fmt.Fprintf(&b, "kept %s: %s\n", k.ID, k.Reason)
	}
	return b.String()
}
