package relay

import (
	"crypto/sha256"
	"encoding/hex"
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
	keyCacheSize = 4096
)

// HashSecret is how a store knows a claim token or an API key: its SHA-256.
func HashSecret(s string) store.Hash { return sha256.Sum256([]byte(s)) }

// KeyID names an API key where people and logs see it: key_ and the first 12
// hexadecimal digits of its hash.
func KeyID(h store.Hash) string { return "key_" + hex.EncodeToString(h[:6]) }

// producer gives the request's API key, and counts the request against its
// rate. It answers CodeUnauthorized if there is no valid one, in words that are
// the same for every reason, and CodeRateLimited above the rate.
func (rl *Relay) producer(h http.Header, r *http.Request) (*store.APIKey, error) {
	refuse := func(message string) (*store.APIKey, error) {
		h.Set("WWW-Authenticate", "Bearer")
		return nil, fail(api.CodeUnauthorized, message)
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
	k, err := rl.validKey(r, HashSecret(key))
	if errors.Is(err, store.ErrNotFound) {
		return refuse("this API key is wrong, expired or revoked")
	}
	if err != nil {
		return nil, err
	}
	r.SetPathValue(keyValue, KeyID(k.Hash))
	return k, rl.meter(r.Context(), h, k)
}

// keyValue names the path value of a request that says whose API key it has:
// no route has a wildcard of this name.
const keyValue = "the id of its API key"

// validKey gives the key with that hash, store.ErrNotFound if there is none or
// it is not valid any more. One that this relay has met before is no guess.
func (rl *Relay) validKey(r *http.Request, hash store.Hash) (*store.APIKey, error) {
	now := rl.now()
	k, fresh := rl.keys.get(hash, now)
	if !fresh {
		ask := func() (err error) {
			k, err = rl.cfg.Store.APIKey(r.Context(), hash)
			return err
		}
		var err error
		if k != nil {
			err = ask()
		} else {
			err = rl.guessing(r, ask)
		}
		if err != nil {
			if errors.Is(err, store.ErrNotFound) {
				rl.keys.remove(hash)
			}
			return nil, err
		}
		rl.keys.put(k, now)
	}
	if !k.Valid(now) {
		return nil, store.ErrNotFound
	}
	return k, nil
}

// keyCache remembers keys: for keyCacheTime as they are, so that a stream of
// creates does not read the same one over and over, and longer that they were
// there.
type keyCache struct {
	mu sync.Mutex
	m  map[store.Hash]cachedKey
}

type cachedKey struct {
	key *store.APIKey // nobody changes it
	at  time.Time
}

// get gives the key as it was last seen, nil if it never was; fresh says
// whether that is recent enough.
func (c *keyCache) get(h store.Hash, now time.Time) (k *store.APIKey, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.m[h]
	age := now.Sub(seen.at)
	return seen.key, seen.key != nil && age >= 0 && age < keyCacheTime
}

func (c *keyCache) put(k *store.APIKey, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, seen := c.m[k.Hash]; c.m == nil || !seen && len(c.m) >= keyCacheSize {
		c.m = map[store.Hash]cachedKey{}
	}
	c.m[k.Hash] = cachedKey{k, now}
}

func (c *keyCache) remove(h store.Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, h)
}
