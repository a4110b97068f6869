package relay

import (
	"errors"
	"fmt"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// limits are the limits of a create: those of the relay, or of the API key where they are
// lower.
type limits struct {
	api.Limits
	ttlOfKey, bytesOfKey bool // the limit is the key's own

	notify *webhook.Options // nil: no webhook receipts
	answer bool             // the body is an answer to a request
}

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

// ofKey is the end of a message about a limit that is the key's own.
func ofKey(its bool) string {
	if its {
		return " with this API key"
	}
	return ""
}

// quotaError turns the store's refusal of a create into an answer that says which
// quota of the key is used up and when there is room again. It returns other errors
// unchanged.
func quotaError(err error, k *store.APIKey, now time.Time) error {
	whose := "of this API key"
	if k.Owner == ownerOfHome {
		whose = "for what is sent with the front page"
	}
	switch {
	case errors.Is(err, store.ErrDailyQuota):
		wait := untilMidnight(now)
		return failFor(wait, api.CodeQuotaExceeded, fmt.Sprintf("the daily quota %s is %d, and used up; there is room again at %s",
			whose, k.Quota.Daily, now.Add(wait).UTC().Format(time.RFC3339)))
	case errors.Is(err, store.ErrActiveQuota):
		return fail(api.CodeQuotaExceeded, fmt.Sprintf("the quota of active kubbis %s is %d, and used up; there is room when one of them has ended or is deleted",
			whose, k.Quota.Active))
	}
	return err
}

// untilMidnight is how long the day of a daily quota lasts, which is one of UTC.
func untilMidnight(now time.Time) time.Duration {
	return now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
}
