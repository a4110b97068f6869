package cli

import (
	"slices"
	"time"

	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/kubbi/api"
)

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
	var keys []masterKeyJSON
	for _, u := range keyring.Uses(ring, time.Now()) {
		var need *bool
		if err == nil {
			need = new(slices.Contains(needed, u.ID))
		}
		keys = append(keys, newMasterKeyJSON(u, need))
	}
	if c.JSON {
		return a.printJSON(map[string]any{"keys": keys})
	}
	return a.print(masterKeysText(keys))
}

// masterKeyJSON is a master key as --json prints it.
type masterKeyJSON struct {
	ID        string        `json:"id"`
	State     keyring.State `json:"state"`
	CreatedAt api.Time      `json:"created_at"`
	UseFrom   *api.Time     `json:"use_from"`         // null: from the start
	Needed    *bool         `json:"needed,omitempty"` // left out where it is not known
}

func newMasterKeyJSON(u keyring.Use, needed *bool) masterKeyJSON {
	return masterKeyJSON{ID: u.ID, State: u.State, CreatedAt: api.NewTime(u.CreatedAt), UseFrom: api.OptionalTime(u.UseFrom), Needed: needed}
}

func masterKeysText(keys []masterKeyJSON) string {
	rows := [][]string{{"ID", "STATE", "CREATED", "SEALS FROM", "NEEDED"}}
	for _, k := range keys {
		from, needed := "-", "?"
		if k.UseFrom != nil {
			from = localTime(*k.UseFrom)
		}
		if k.Needed != nil {
			needed = map[bool]string{true: "yes", false: "no"}[*k.Needed]
		}
		rows = append(rows, []string{k.ID, string(k.State), localTime(k.CreatedAt), from, needed})
	}
	return table(rows)
}
