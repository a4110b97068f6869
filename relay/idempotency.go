package relay

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"net/http"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/atrest"
	"kubbi-mcp/relay/store"
)

// idempotencyKey gives the request's Idempotency-Key, "" if it has none. The
// header is the IETF draft's; its value is taken as it stands, quotes included.
func (rl *Relay) idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values(api.HeaderIdempotencyKey)
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	ok := len(values) == 1 && key != "" && len(key) <= rl.cfg.Limits.IdempotencyKey
	for i := range len(key) {
		ok = ok && key[i] > ' ' && key[i] <= '~'
	}
	if !ok {
		return "", invalid(fmt.Sprintf("%s must be one value of 1 to %d visible ASCII characters",
			api.HeaderIdempotencyKey, rl.cfg.Limits.IdempotencyKey))
	}
	return key, nil
}

// createKey makes a create idempotent. The request is known by a hash keyed
// with the idempotency key, and the answer is sealed under it, so that the
// store holds nothing by which a payload could be guessed at. The hash is that
// of what is written to request, which is for the whole body.
func (rl *Relay) createKey(key, owner string) (k *store.CreateKey, request hash.Hash) {
	if key == "" || !rl.idempotent() {
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

// sealAnswer seals a new kubbi's claim token for a repeated create.
func (rl *Relay) sealAnswer(ring *atrest.Keyring, key string, k *store.Kubbi, t token) ([]byte, error) {
	secret, err := ring.Key(k.MasterKey, []byte(key), atrest.Answer)
	if err != nil {
		return nil, err
	}
	for sealed, err := range secret.Seal(rl.cfg.Rand, answerBinding(k.ID), t.raw) {
		return sealed, err // a token is one chunk
	}
	return nil, nil
}

// openAnswer gives the claim token of a create that is repeated.
func (rl *Relay) openAnswer(ctx context.Context, key string, p *store.Replay) (token, error) {
	secret, err := rl.ringWith(ctx, p.MasterKey).Key(p.MasterKey, []byte(key), atrest.Answer)
	if err != nil {
		return token{}, err
	}
	o, err := secret.Open(answerBinding(p.ID))
	if err != nil {
		return token{}, err
	}
	raw, err := o.Next(p.Answer)
	if err != nil {
		return token{}, fmt.Errorf("answer to a repeated create: %w", err)
	}
	return tokenOf(raw), o.Done()
}

func answerBinding(id string) atrest.Binding {
	return atrest.Binding{KubbiID: id, Parts: 1, Size: tokenBytes}
}

// claimKey makes a claim of that kubbi idempotent.
func (rl *Relay) claimKey(key string) *store.ClaimKey {
	if key == "" || !rl.idempotent() {
		return nil
	}
	return &store.ClaimKey{Key: HashSecret(key), Grace: rl.cfg.Grace}
}
