package relay

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

const (
	maxAPIKey    = 255         // bytes of an API key worth hashing
	keyCacheTime = time.Second // a revoked key works this much longer at most
	keyCacheSize = 1024
)

// HashSecret is how a store knows a claim token or an API key: its SHA-256.
func HashSecret(s string) store.Hash { return sha256.Sum256([]byte(s)) }

// owner gives the owner of the request's API key, or CodeUnauthorized.
func (rl *Relay) owner(h http.Header, r *http.Request) (string, error) {
	refuse := func(message string) (string, error) {
		h.Set("WWW-Authenticate", "Bearer")
		return "", fail(api.CodeUnauthorized, message)
	}
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return refuse("an API key is needed: Authorization: Bearer kb_...")
	}
	scheme, key, _ := strings.Cut(values[0], " ")
	key = strings.TrimSpace(key)
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || key == "" || len(key) > maxAPIKey {
		return refuse("the Authorization header must be: Bearer kb_...")
	}
	owner, err := rl.ownerOf(r.Context(), HashSecret(key))
	if errors.Is(err, store.ErrNotFound) {
		return refuse("this API key is wrong or revoked")
	}
	return owner, err
}

// ownerOf gives the owner of a valid key, store.ErrNotFound for any other.
func (rl *Relay) ownerOf(ctx context.Context, hash store.Hash) (string, error) {
	now := rl.now()
	if owner, ok := rl.keys.get(hash, now); ok {
		return owner, nil
	}
	k, err := rl.cfg.Store.APIKey(ctx, hash)
	if err != nil {
		return "", err
	}
	if !k.RevokedAt.IsZero() {
		return "", store.ErrNotFound
	}
	rl.keys.put(hash, k.Owner, now)
	return k.Owner, nil
}

// keyCache remembers valid keys for keyCacheTime, so that a stream of creates
// does not read the same key over and over.
type keyCache struct {
	mu sync.Mutex
	m  map[store.Hash]cachedKey
}

type cachedKey struct {
	owner string
	at    time.Time
}

func (c *keyCache) get(h store.Hash, now time.Time) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.m[h]
	if age := now.Sub(k.at); !ok || age < 0 || age >= keyCacheTime {
		return "", false
	}
	return k.owner, true
}

func (c *keyCache) put(h store.Hash, owner string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= keyCacheSize {
		c.m = map[store.Hash]cachedKey{}
	}
	c.m[h] = cachedKey{owner, now}
}
