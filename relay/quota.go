package relay

import (
	"errors"
	"fmt"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// overQuota says of a create that the store refused which quota of the key is
// used up, and when there is room again. Other errors stay as they are.
func overQuota(err error, k *store.APIKey, now time.Time) error {
	switch {
	case errors.Is(err, store.ErrDailyQuota):
		midnight := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		e := fail(api.CodeQuotaExceeded, fmt.Sprintf("the daily quota of this API key is %d, and used up; there is room again at %s",
			k.Quota.Daily, midnight.Format(time.RFC3339)))
		e.retryAfter = midnight.Sub(now)
		return e
	case errors.Is(err, store.ErrActiveQuota):
		return fail(api.CodeQuotaExceeded, fmt.Sprintf("the quota of active kubbis of this API key is %d, and used up; there is room when one of them has ended or is deleted",
			k.Quota.Active))
	}
	return err
}

// limits are what a create may ask for: what the relay allows or, where it is
// less, the API key.
type limits struct {
	api.Limits
	ttlOfKey, bytesOfKey bool

	notify *webhook.Options // nil: webhook receipts are not to be had
}

// limitsOf gives the limits of a key's creates.
func (rl *Relay) limitsOf(k *store.APIKey) limits {
	l := limits{Limits: rl.cfg.Limits, notify: rl.cfg.Notify}
	if s := int(k.MaxTTL / time.Second); s > 0 && s < l.MaxTTLSeconds {
		l.MaxTTLSeconds, l.ttlOfKey = s, true
	}
	if n := k.MaxBytes; n > 0 && (n < l.ContentBytes || n < l.PackageBytes) {
		l.ContentBytes, l.PackageBytes, l.bytesOfKey = min(n, l.ContentBytes), min(n, l.PackageBytes), true
	}
	return l
}

// ofKey is what a message says of a limit that is the key's own.
func ofKey(its bool) string {
	if its {
		return " with this API key"
	}
	return ""
}
