package relay

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"

	"github.com/google/uuid"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

const tokenBytes = 32

// markBytes is how many bytes at a token's end Config.Mark gives. The 192 random
// bits before them are what nobody guesses.
const markBytes = 8

// token is a claim token. It has no String method, and must not get one: it
// goes to the client and nowhere else.
type token struct {
	text string // 43 characters of base64url
	raw  []byte // what text stands for; salts the kubbi's key
}

func (t token) hash() store.Hash { return HashSecret(t.text) }

// newClaimToken makes the token of a new kubbi.
func (rl *Relay) newClaimToken() (token, error) {
	t, err := newToken(rl.cfg.Rand)
	if err != nil || rl.cfg.Mark == nil {
		return t, err
	}
	head := t.raw[:tokenBytes-markBytes]
	mark := rl.cfg.Mark(head)
	return tokenOf(append(head, mark[:]...)), nil
}

// SplitToken gives the random part of a claim token and the mark at its end;
// false for what can't be a token.
func SplitToken(text string) (head []byte, mark [markBytes]byte, ok bool) {
	t, ok := parseToken(text)
	if !ok {
		return nil, mark, false
	}
	copy(mark[:], t.raw[tokenBytes-markBytes:])
	return t.raw[:tokenBytes-markBytes], mark, true
}

func newToken(random io.Reader) (token, error) {
	raw := make([]byte, tokenBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return token{}, fmt.Errorf("make claim token: %w", err)
	}
	return tokenOf(raw), nil
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

// pathToken gives the claim token in the request's path. One that can't be a
// token gets the answer of one that is not there.
func pathToken(r *http.Request) (token, error) {
	t, ok := parseToken(r.PathValue("token"))
	if !ok {
		return token{}, fail(api.CodeNotFound, notFoundMessage)
	}
	return t, nil
}

// pathID gives the kubbi id in the request's path, in lower case. One that
// can't be an id gets the answer of one that is not there.
func pathID(r *http.Request) (string, error) {
	text := r.PathValue("id")
	id, err := uuid.Parse(text)
	if err != nil || len(text) != len(id.String()) {
		return "", fail(api.CodeNotFound, notFoundMessage)
	}
	return id.String(), nil
}

// NewAPIKey makes an API key from random.
func NewAPIKey(random io.Reader) (string, error) {
	raw := make([]byte, tokenBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("make API key: %w", err)
	}
	return api.KeyPrefix + base64.RawURLEncoding.EncodeToString(raw), nil
}
