package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

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

// keyList is what keys list --json prints.
type keyList struct {
	Keys []keyJSON `json:"keys"`
}

// keyJSON is a key as --json prints it. Limits that it does not have are null.
type keyJSON struct {
	ID        string    `json:"id"`
	Key       string    `json:"key,omitzero"` // from create alone
	Label     string    `json:"label"`
	Owner     string    `json:"owner"`
	CreatedAt api.Time  `json:"created_at"`
	ExpiresAt *api.Time `json:"expires_at"`
	RevokedAt *api.Time `json:"revoked_at"`
	MaxTTL    *int64    `json:"max_ttl_seconds"`
	MaxBytes  *int64    `json:"max_bytes"`
	Rate      *int64    `json:"rate_per_minute"`
	Daily     *int64    `json:"daily_quota"`
	Active    *int64    `json:"active_quota"`
}

func shownKey(k *store.APIKey) keyJSON {
	limit := func(n int64) *int64 {
		if n == 0 {
			return nil
		}
		return &n
	}
	return keyJSON{
		ID: relay.KeyID(k.Hash), Label: k.Label, Owner: k.Owner, CreatedAt: api.NewTime(k.CreatedAt),
		ExpiresAt: api.OptionalTime(k.ExpiresAt), RevokedAt: api.OptionalTime(k.RevokedAt),
		MaxTTL: limit(int64(k.MaxTTL / time.Second)), MaxBytes: limit(k.MaxBytes),
		Rate: limit(int64(k.Rate)), Daily: limit(int64(k.Quota.Daily)), Active: limit(int64(k.Quota.Active)),
	}
}

func keysText(keys []store.APIKey, now time.Time) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tLABEL\tOWNER\tSTATE\tCREATED\tEXPIRES\tREVOKED\tLIMITS")
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return localTime(api.NewTime(t))
	}
	for i := range keys {
		k := &keys[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", relay.KeyID(k.Hash), oneLine(k.Label), oneLine(k.Owner),
			keyState(k, now), at(k.CreatedAt), at(k.ExpiresAt), at(k.RevokedAt), limitsText(k))
	}
	w.Flush()
	return b.String()
}

// limitsText is what a key may do, in a few words.
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
