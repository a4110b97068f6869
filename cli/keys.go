package cli

import (
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// keysCmd is `kubbi-mcp keys`.
type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make an API key, and print it: it is shown only once."`
	List   keysListCmd   `cmd:"" help:"List the API keys, oldest first."`
	Revoke keysRevokeCmd `cmd:"" help:"End an API key. Its kubbis can still be claimed."`
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

func newKeyJSON(k *store.APIKey) keyJSON {
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
