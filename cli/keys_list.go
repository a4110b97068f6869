package cli

import (
	"fmt"
	"strings"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// keysListCmd is `kubbi-mcp keys list`.
type keysListCmd struct {
	storeFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the keys.
func (c *keysListCmd) Run(a *app) error {
	var keys []store.APIKey
	if err := a.withStore(c.Store, func(db store.Store) (err error) {
		if keys, err = db.APIKeys(a.ctx); err != nil {
			return fmt.Errorf("list keys: %w", err)
		}
		return nil
	}); err != nil {
		return err
	}
	if !c.JSON {
		return a.print(keysText(keys, time.Now()))
	}
	list := make([]keyJSON, len(keys))
	for i := range keys {
		list[i] = newKeyJSON(&keys[i])
	}
	return a.printJSON(map[string]any{"keys": list})
}

func keysText(keys []store.APIKey, now time.Time) string {
	rows := [][]string{{"ID", "LABEL", "OWNER", "STATE", "CREATED", "EXPIRES", "REVOKED", "LIMITS"}}
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return localTime(api.NewTime(t))
	}
	for i := range keys {
		k := &keys[i]
		rows = append(rows, []string{relay.KeyID(k.Hash), k.Label, k.Owner, keyState(k, now), at(k.CreatedAt), at(k.ExpiresAt), at(k.RevokedAt), limitsText(k)})
	}
	return table(rows)
}

// keyState is "valid", "expired" or "revoked".
func keyState(k *store.APIKey, now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.Valid(now):
		return "expired"
	}
	return "valid"
}

// limitsText lists the limits of a key, "-" for none.
func limitsText(k *store.APIKey) string {
	var words []string
	add := func(n int64, format string, value any) {
		if n > 0 {
			words = append(words, fmt.Sprintf(format, value))
		}
	}
	add(int64(k.MaxTTL), "ttl %d s", int64(k.MaxTTL/time.Second))
	add(k.MaxBytes, "%s", size(k.MaxBytes))
	add(int64(k.Rate), "%d/min", k.Rate)
	add(int64(k.Quota.Daily), "%d/day", k.Quota.Daily)
	add(int64(k.Quota.Active), "%d active", k.Quota.Active)
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ", ")
}
