package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// keysRevokeCmd is `kubbi-mcp keys revoke`.
type keysRevokeCmd struct {
	Key string `arg:"" placeholder:"ID|LABEL" help:"The key's id, as list shows it, or its label if no other valid key has that."`
	storeFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Run revokes a key.
func (c *keysRevokeCmd) Run(a *app) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	var before time.Time
	var k *store.APIKey
	if err := a.withStore(c.Store, func(db store.Store) error {
		keys, err := db.APIKeys(a.ctx)
		if err != nil {
			return fmt.Errorf("revoke key: %w", err)
		}
		found, err := findKey(keys, c.Key, now)
		if err != nil {
			return usage(err)
		}
		before = found.RevokedAt
		if k, err = db.RevokeAPIKey(a.ctx, found.Hash, now); err != nil {
			return fmt.Errorf("revoke key: %w", err)
		}
		return nil
	}); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(newKeyJSON(k))
	}
	what := fmt.Sprintf("%s (%s)", relay.KeyID(k.Hash), oneLine(k.Label))
	if !before.IsZero() {
		return a.print(fmt.Sprintf("%s was revoked before, at %s\n", what, localTime(api.NewTime(k.RevokedAt))))
	}
	return a.print(fmt.Sprintf("%s is revoked\n", what))
}

// findKey finds a key by its id, or the one valid key by its label.
func findKey(keys []store.APIKey, name string, now time.Time) (*store.APIKey, error) {
	if strings.HasPrefix(name, api.KeyPrefix) {
		return nil, errors.New("revoke takes a key's id or label, not the key itself; keys list shows them")
	}
	var labelled []*store.APIKey
	for i := range keys {
		k := &keys[i]
		if relay.KeyID(k.Hash) == name {
			return k, nil
		}
		if k.Label == name && k.Valid(now) {
			labelled = append(labelled, k)
		}
	}
	switch len(labelled) {
	case 0:
		return nil, fmt.Errorf("no key has that id, and no valid one that label: %s; kubbi-mcp keys list shows them", oneLine(name))
	case 1:
		return labelled[0], nil
	}
	ids := make([]string, len(labelled))
	for i, k := range labelled {
		ids[i] = relay.KeyID(k.Hash)
	}
	return nil, fmt.Errorf("several valid keys have the label %s: say which by its id: %s", oneLine(name), strings.Join(ids, ", "))
}
