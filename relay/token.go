package relay

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

const (
	tokenBytes  = 32
	numberBytes = 8
	// markBytes is the length of the mark at the end of a token, which Config.TokenMark
	// computes. The 128 random bits before it keep the token secret.
	markBytes = 8
)

// token is a claim token or a request token: the number of its row, big-endian, and 192
// random bits. It has no String method and must not get one: only the client may see it.
type token struct {
	text      string // 43 characters of base64url
	raw       []byte // text decoded; salts the key of the kubbi's payload
	ofRequest bool
}

// key is what a store keeps of the token. The hash of a request token differs from that of a
// claim token with the same text, so that neither is found in place of the other.
func (t token) key() store.Token {
	text := t.text
	if t.ofRequest {
		text = "q:" + text
	}
	return store.Token{Number: numberOf(t.raw), Hash: HashSecret(text)}
}

func numberOf(raw []byte) store.Number { return store.Number(binary.BigEndian.Uint64(raw)) }

// newClaimToken makes the token of a new kubbi.
func (rl *Relay) newClaimToken(n store.Number) (token, error) {
	raw, err := randomBytes(rl.cfg.Rand)
	if err != nil {
		return token{}, fmt.Errorf("make claim token: %w", err)
	}
	binary.BigEndian.PutUint64(raw, uint64(n))
	if rl.cfg.TokenMark != nil {
		head := raw[:tokenBytes-markBytes]
		mark := rl.cfg.TokenMark(head)
		copy(raw[len(head):], mark[:])
	}
	return tokenOf(raw), nil
}

// SplitToken splits a claim token into the mark of Config.TokenMark and the bytes before it.
// ok is false if the text can't be a token.
func SplitToken(text string) (head []byte, mark [markBytes]byte, ok bool) {
	t, ok := parseToken(text)
	if !ok {
		return nil, mark, false
	}
	copy(mark[:], t.raw[tokenBytes-markBytes:])
	return t.raw[:tokenBytes-markBytes], mark, true
}

// randomBytes makes as many random bytes as a token has.
func randomBytes(random io.Reader) ([]byte, error) {
	raw := make([]byte, tokenBytes)
	_, err := io.ReadFull(random, raw)
	return raw, err
}

func tokenOf(raw []byte) token {
	return token{text: base64.RawURLEncoding.EncodeToString(raw), raw: raw}
}

func parseToken(text string) (token, bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return token{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != tokenBytes {
		return token{}, false
	}
	return token{text: text, raw: raw}, true
}

// pathToken reads the claim token from the request's path. An invalid token is answered like
// a token that does not exist.
func pathToken(r *http.Request) (token, error) {
	t, ok := parseToken(r.PathValue("token"))
	if !ok {
		return token{}, store.ErrNotFound
	}
	return t, nil
}

// NewAPIKey makes an API key from random.
func NewAPIKey(random io.Reader) (string, error) {
	raw, err := randomBytes(random)
	if err != nil {
		return "", fmt.Errorf("make API key: %w", err)
	}
	return api.KeyPrefix + base64.RawURLEncoding.EncodeToString(raw), nil
}
