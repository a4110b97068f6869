package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
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

// HashSecret is the SHA-256 of a claim token, an API key or an idempotency key. A store
// keeps only this hash.
func HashSecret(s string) store.Hash { return sha256.Sum256([]byte(s)) }

// KeyID is the name of an API key for people and logs: key_ and the first 12 hexadecimal
// digits of its hash.
func KeyID(h store.Hash) string { return "key_" + hex.EncodeToString(h[:6]) }

// producer finds the API key of a request and counts the request against the key's rate.
// Without a valid key it returns CodeUnauthorized, with the same text for unknown, expired
// and revoked keys. Above the rate it returns CodeRateLimited.
func (rl *Relay) producer(h http.Header, r *http.Request) (*store.APIKey, error) {
	refuse := func(message string) (*store.APIKey, error) {
		h.Set("WWW-Authenticate", "Bearer")
		return nil, fail(api.CodeUnauthorized, message)
	}
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return refuse("an API key is needed: Authorization: Bearer kb_...")
	}
	scheme, _, _ := strings.Cut(values[0], " ")
	key := bearer(r)
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || key == "" || len(key) > maxAPIKey {
		return refuse("the Authorization header must be: Bearer kb_...")
	}
	k, err := rl.validKey(r, HashSecret(key))
	if errors.Is(err, store.ErrNotFound) {
		return refuse(wrongKeyMessage)
	}
	if err != nil {
		return nil, err
	}
	r.SetPathValue(keyIDValue, KeyID(k.key.Hash))
	return k.key, rl.countRequest(r.Context(), h, k)
}

// recheckKey returns CodeUnauthorized if the key of a request that has waited was revoked or has
// expired meanwhile.
func (rl *Relay) recheckKey(r *http.Request, k *store.APIKey) error {
	_, err := rl.validKey(r, k.Hash)
	if errors.Is(err, store.ErrNotFound) {
		err = fail(api.CodeUnauthorized, wrongKeyMessage)
	}
	return err
}

const wrongKeyMessage = "this API key is wrong, expired or revoked"

// bearer is the API key in the Authorization header.
func bearer(r *http.Request) string {
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(key)
}

// validKey looks up a key by its hash. The error for an unknown, expired or revoked key is
// store.ErrNotFound. An unknown key counts as a guess, unless it is in this relay's cache.
func (rl *Relay) validKey(r *http.Request, hash store.Hash) (cachedKey, error) {
	now := rl.now()
	k, fresh := rl.keys.get(hash, now)
	if !fresh {
		read, err := rl.cfg.Store.APIKey(r.Context(), hash)
		if err != nil {
			if errors.Is(err, store.ErrNotFound) {
				rl.keys.remove(hash)
				if k.key == nil {
					err = rl.missed(rl.source(r), err)
				}
			}
			return cachedKey{}, err
		}
		k = rl.keys.put(read, now)
	}
	if !k.key.Valid(now) {
		return cachedKey{}, store.ErrNotFound
	}
	return k, nil
}

// keyCache caches the API keys of recent requests for keyCacheTime. So a stream of creates
// does not read the same key from the store again and again.
type keyCache struct {
	mu sync.Mutex
	m  map[store.Hash]cachedKey
}

type cachedKey struct {
	key  *store.APIKey // read-only
	at   time.Time     // when it was read
	rate *rateMeter
}

// get returns a key as it was last read, or the zero value. If fresh is false, it must be
// read from the store again.
func (c *keyCache) get(h store.Hash, now time.Time) (k cachedKey, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k = c.m[h]
	age := now.Sub(k.at)
	return k, k.key != nil && age >= 0 && age < keyCacheTime
}

// put remembers a key that was read now.
func (c *keyCache) put(k *store.APIKey, now time.Time) cachedKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, known := c.m[k.Hash]
	if !known {
		old.rate = newRateMeter()
		if len(c.m) >= keyCacheSize {
			maps.DeleteFunc(c.m, func(_ store.Hash, k cachedKey) bool { return now.Sub(k.at) >= rateWindow })
		}
		if c.m == nil || len(c.m) >= keyCacheSize {
			c.m = map[store.Hash]cachedKey{}
		}
	}
	c.m[k.Hash] = cachedKey{k, now, old.rate}
	return c.m[k.Hash]
}

func (c *keyCache) remove(h store.Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, h)
}
