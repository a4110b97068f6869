package tools

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"

	"kubbi-mcp/kubbi"
)

// undelivered are the keys of claims that may have counted, but whose payload
// did not reach the model: its call was cancelled, or its connection broke. The
// next claim of the same URL takes the key, and so the payload that the relay
// still keeps for it; it counts once.
type undelivered struct {
	mu    sync.Mutex
	byURL map[[sha256.Size]byte]heldKey
}

type heldKey struct {
	key   string
	until time.Time
}

// Bounds of what is held.
const (
	maxUndelivered = 1000
	graceUnknown   = time.Minute // where the relay could not say how long its grace is
)

func urlHash(claimURL string) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.TrimSpace(claimURL)))
}

// take gives the key for a claim: one that is held for its URL, or a new one,
// which ends with the time zero.
func (u *undelivered) take(claimURL string) (heldKey, error) {
	hash := urlHash(claimURL)
	u.mu.Lock()
	held, ok := u.byURL[hash]
	delete(u.byURL, hash)
	u.mu.Unlock()
	if ok && time.Now().Before(held.until) {
		return held, nil
	}
	key, err := kubbi.NewKey()
	return heldKey{key: key}, err
}

// hold keeps the key of a claim while its grace lasts. Of two for one URL the
// earlier goes.
func (u *undelivered) hold(claimURL string, key heldKey) {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byURL == nil {
		u.byURL = map[[sha256.Size]byte]heldKey{}
	}
	if len(u.byURL) >= maxUndelivered {
		for hash, held := range u.byURL {
			if now.After(held.until) {
				delete(u.byURL, hash)
			}
		}
	}
	if len(u.byURL) < maxUndelivered {
		u.byURL[urlHash(claimURL)] = key
	}
}

// claimHeld claims a payload, and keeps it at the relay until it has been
// delivered.
func (t *toolset) claimHeld(ctx context.Context, claimURL string) (*kubbi.Claimed, error) {
	key, err := t.undelivered.take(claimURL)
	if err != nil {
		return nil, err
	}
	got, err := t.Client.Claim(ctx, claimURL, kubbi.WithKey(key.key), kubbi.HoldGrace(), kubbi.WithProgress(progressOf(ctx)))
	if err != nil {
		if e, ok := errors.AsType[*kubbi.Error](err); ok && e.Uncertain && key.until.IsZero() {
			key.until = time.Now().Add(graceUnknown)
		}
		if !errors.Is(err, kubbi.ErrGone) && !errors.Is(err, kubbi.ErrExpired) && !key.until.IsZero() {
			t.undelivered.hold(claimURL, key)
		}
		return nil, err
	}
	if got.Grace > 0 {
		key.until = time.Now().Add(got.Grace)
		t.Deliver(ctx, func(delivered bool) {
			if delivered {
				got.ReleaseSoon(ctx)
			} else {
				t.undelivered.hold(claimURL, key)
			}
		})
	}
	return got, nil
}
