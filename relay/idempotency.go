package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"net/http"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// The rule for an Idempotency-Key: its length and its kinds of characters must allow 16
// random bytes. It must not be guessable, because it gives a payload within the grace and
// seals the answer to a repeated create.
const (
	minKey        = 22 // characters: 16 bytes in base64url
	minHexKey     = 32 // digits, if there are no others, as in a UUID
	minDecimalKey = 39 // digits, if there are no others
	minVariety    = 6  // different characters
)

const weakKeyMessage = api.HeaderIdempotencyKey + " can be guessed: it must be worth 16 random bytes, as a random UUID is. " +
	"That is at least 22 characters; 32 where all are hexadecimal digits, 39 where all are decimal ones, hyphens not counted; and 6 different ones"

// guessable reports whether a key is too short for its kinds of characters, or has too few
// different characters. The quotes around it, which the IETF draft requires, do not count.
func guessable(key string) bool {
	if n := len(key); n >= 2 && key[0] == '"' && key[n-1] == '"' {
		key = key[1 : n-1]
	}
	var seen [256]bool
	variety := 0
	digits, decimal, hex := 0, true, true
	for i := range len(key) {
		c := key[i]
		if !seen[c] {
			seen[c] = true
			variety++
		}
		if c == '-' {
			continue
		}
		digits++
		isDecimal := '0' <= c && c <= '9'
		decimal = decimal && isDecimal
		hex = hex && (isDecimal || 'a' <= c|0x20 && c|0x20 <= 'f')
	}
	switch {
	case variety < minVariety:
		return true
	case decimal:
		return digits < minDecimalKey
	case hex:
		return digits < minHexKey
	}
	return len(key) < minKey
}

// idempotencyKey reads the request's Idempotency-Key header, which is the IETF draft's; "":
// the request has none. Quotes belong to the key. A guessable key is refused.
func (rl *Relay) idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values(api.HeaderIdempotencyKey)
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	ok := len(values) == 1 && key != "" && len(key) <= api.MaxIdempotencyKey
	for i := range len(key) {
		ok = ok && key[i] > ' ' && key[i] <= '~'
	}
	if !ok {
		return "", invalid(fmt.Sprintf("%s must be one value of at most %d visible ASCII characters",
			api.HeaderIdempotencyKey, api.MaxIdempotencyKey))
	}
	if guessable(key) {
		return "", invalid(weakKeyMessage)
	}
	return key, nil
}

// createKey makes the key of an idempotent create. The caller must write the whole body to
// request. The hash of the body is keyed with the idempotency key, and the answer is sealed
// under that key, so that the store's data does not help to guess a payload.
func (rl *Relay) createKey(key, owner string) (k *store.CreateKey, request hash.Hash) {
	if key == "" || rl.cfg.Grace <= 0 {
		return nil, nil
	}
	k = &store.CreateKey{Grace: rl.cfg.Grace}
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(owner))))
	h.Write([]byte(owner))
	h.Write([]byte(key))
	h.Sum(k.Key[:0])
	return k, hmac.New(sha256.New, []byte(key))
}

// sealAnswer seals a new kubbi's claim token for the answer to a repeated create.
func (rl *Relay) sealAnswer(ring *atrest.Keyring, key string, k *store.Kubbi, t token) ([]byte, error) {
	secret, err := ring.Key(k.MasterKey, k.Secret[:], atrest.Answer, []byte(key))
	if err != nil {
		return nil, err
	}
	return secret.SealBytes(rl.cfg.Rand, []byte(k.ID), t.raw)
}

// openAnswer returns the claim token that sealAnswer has sealed.
func openAnswer(o *opened, key string, answer []byte) (token, error) {
	secret, err := o.ring.Key(o.MasterKey, o.Secret[:], atrest.Answer, []byte(key))
	if err != nil {
		return token{}, err
	}
	raw, err := secret.OpenBytes([]byte(o.ID), answer)
	if err != nil || len(raw) != tokenBytes {
		return token{}, damaged(o.Kubbi, "the answer to its create does not open")
	}
	return tokenOf(raw), nil
}

// claimKey makes the key of an idempotent claim.
func (rl *Relay) claimKey(key string) *store.ClaimKey {
	if key == "" || rl.cfg.Grace <= 0 {
		return nil
	}
	return &store.ClaimKey{Key: HashSecret(key), Grace: rl.cfg.Grace}
}
