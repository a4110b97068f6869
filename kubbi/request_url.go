package kubbi

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
)

// questionFragment stands before the asker's public key in the fragment of a request URL.
const questionFragment = "p="

// requestURL is a parsed request URL, https://<host>/q/<token>#p=<public key>.
type requestURL struct {
	link ClaimURL // origin and token
	to   Recipient
}

func (u requestURL) String() string {
	return u.link.Origin() + api.PathAnswer + u.link.token + "#" + questionFragment + base64.RawURLEncoding.EncodeToString(u.to.key[:])
}

// parseRequestURL finds the one request URL in a text, such as a sentence or a Markdown link.
// Errors match ErrValidation, and ErrSealed if the URL's key is missing. They do not quote the
// text.
func parseRequestURL(text string) (u requestURL, err error) {
	if len(text) > maxClaimText {
		return u, invalid("request URL is longer than %d bytes", maxClaimText)
	}
	found := false
	for _, word := range splitWords(text) {
		if !strings.Contains(word, "://") {
			continue
		}
		next, err := readRequestURL(strings.TrimLeftFunc(word, func(r rune) bool { return r == '[' || mayPrecedeURL(r) }))
		switch {
		case err != nil:
			return requestURL{}, err
		case found && next != u:
			return requestURL{}, invalid("there are two different URLs in it: give the request URL alone")
		}
		u, found = next, true
	}
	if !found {
		return u, notRequestURL()
	}
	return u, nil
}

func notRequestURL() *Error {
	return invalid("not a request URL, https://<host>%s<token>#%s...: give the whole of it", api.PathAnswer, questionFragment)
}

// readRequestURL reads a word as a request URL.
func readRequestURL(word string) (requestURL, error) {
	whole, fragment := cutFragment(word)
	at, token, err := splitRequestURL(whole)
	if err != nil {
		return requestURL{}, err
	}
	u := requestURL{link: ClaimURL{origin: at, token: token}}
	key, ok := strings.CutPrefix(cleanFragment(fragment), questionFragment)
	b, whole32 := exactBase64(key, len(u.to.key))
	if !ok || !whole32 {
		return requestURL{}, notOpened("the part after # of the request URL, which holds the asker's public key, was lost or changed: ask for the whole request URL")
	}
	u.to.key = [32]byte(b)
	return u, nil
}

// splitRequestURL reads a request URL without its fragment.
func splitRequestURL(text string) (at origin.Origin, token string, err error) {
	scheme, rest, ok := strings.Cut(text, "://")
	host, path, hasPath := strings.Cut(rest, "/")
	if !ok || !hasPath {
		return at, "", notRequestURL()
	}
	if at, err = origin.New(strings.ToLower(scheme), host); err != nil {
		return at, "", invalid("request URL %v", err)
	}
	path = "/" + strings.TrimRight(path, "/")
	if strings.HasPrefix(path, api.PathClaim) {
		return at, "", invalid("this is a claim URL, to be claimed, and no request URL, to be answered")
	}
	token, ok = strings.CutPrefix(path, api.PathAnswer)
	if !ok || !isToken(token) {
		return at, "", notRequestURL()
	}
	return at, token, nil
}

// bindingOf gives the hash that binds an answer to its request: to the words and fields that
// the one who answered has seen, and to the request's token.
func bindingOf(token, message string, fields []api.Field, files bool) ([]byte, error) {
	type field struct {
		Lines  bool   `json:"lines"`
		Name   string `json:"name"`
		Secret bool   `json:"secret"`
	}
	all := make([]field, 0, len(fields))
	for _, f := range fields {
		all = append(all, field{f.Lines, f.Name, f.Secret})
	}
	text, err := jsonv2.Marshal(struct {
		Fields  []field `json:"fields"`
		Files   bool    `json:"files"`
		Message string  `json:"message"`
		Request string  `json:"request"`
	}{all, files, message, token})
	if err != nil {
		return nil, invalid("message or a field's name is not valid UTF-8")
	}
	canonical := jsontext.Value(text)
	if err := canonical.Canonicalize(); err != nil { // RFC 8785
		return nil, invalid("message or a field's name is not valid UTF-8")
	}
	h := sha256.Sum256(canonical)
	return h[:], nil
}
