package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"kubbi-mcp/server/transport"
)

// Token lets a caller call the server, under a name.
type Token struct {
	Name   string // for logs, and to keep callers apart
	APIKey string // of the Kubbi API; "": Connect chooses by the name

	hash [sha256.Size]byte
}

var (
	tokenName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)
	tokenShape = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{16,512}$`) // RFC 6750's b64token, and long enough
)

// IsTokenName reports whether a token can have this name.
func IsTokenName(name string) bool { return tokenName.MatchString(name) }

// NewToken makes a token. An error never quotes the secret.
func NewToken(name, secret, apiKey string) (Token, error) {
	if !IsTokenName(name) {
		return Token{}, errors.New("a token's name has at most 64 letters, digits and . _ @ -, and begins with a letter or digit")
	}
	if !tokenShape.MatchString(secret) {
		return Token{}, fmt.Errorf("the token of %q must have 16 to 512 letters, digits and . _ ~ + / = -", name)
	}
	return Token{Name: name, APIKey: apiKey, hash: sha256.Sum256([]byte(secret))}, nil
}

// headerAPIKey carries the caller's own key of the Kubbi API.
const headerAPIKey = "X-Kubbi-Api-Key"

// identity says who sends a request.
type identity struct {
	name   string // of the token; "": there is none
	apiKey string // "": none
	ownKey bool   // the key came with the request
}

// key is the same for all requests of one caller.
func (id identity) key() string {
	hash := sha256.Sum256([]byte(id.apiKey))
	return id.name + "\x00" + string(hash[:])
}

// identify finds out who sends a request. Where tokens are configured, a key of the
// Kubbi API does not replace one, since anyone may have a key. HTTPConfig.OwnKeys
// changes that. A token that is given must be right.
func (h *HTTP) identify(r *http.Request) (identity, *transport.Refusal) {
	var id identity
	if keys := r.Header.Values(headerAPIKey); len(keys) == 1 && keys[0] != "" {
		id.apiKey, id.ownKey = keys[0], true
	} else if len(keys) > 0 {
		return id, unauthorized("The " + headerAPIKey + " header must hold one key")
	}
	if len(h.cfg.Tokens) == 0 {
		return id, nil
	}
	auth := r.Header.Values("Authorization")
	switch {
	case len(auth) == 0 && id.ownKey && h.cfg.OwnKeys:
		return id, nil
	case len(auth) == 0 && id.ownKey:
		return id, unauthorized("A token is needed: Authorization: Bearer TOKEN. A key in " + headerAPIKey + " may come beside it, not in its place")
	case len(auth) == 0 && h.cfg.OwnKeys:
		return id, unauthorized("A token is needed: Authorization: Bearer TOKEN, or a key of the Kubbi API in " + headerAPIKey)
	case len(auth) == 0:
		return id, unauthorized("A token is needed: Authorization: Bearer TOKEN")
	}
	scheme, secret, _ := strings.Cut(auth[0], " ")
	if len(auth) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return id, unauthorized("The Authorization header must be: Bearer TOKEN")
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	var found *Token
	for i, t := range h.cfg.Tokens { // compares with all of them: the time must not show which one it is
		if subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1 {
			found = &h.cfg.Tokens[i]
		}
	}
	if found == nil {
		p := unauthorized("This token is wrong")
		p.Challenge = `, error="invalid_token", error_description="This token is wrong"`
		return id, p
	}
	id.name = found.Name
	if !id.ownKey {
		id.apiKey = found.APIKey
	}
	return id, nil
}

func unauthorized(message string) *transport.Refusal {
	return transport.Refuse(http.StatusUnauthorized, "unauthorized", "Unauthorized: "+message)
}

// metadataPath is the path of protected resource metadata (RFC 9728).
const metadataPath = "/.well-known/oauth-protected-resource"

// challenge gives the WWW-Authenticate header of a refusal.
func (h *HTTP) challenge(r *http.Request, p *transport.Refusal) string {
	endpoint := r.URL.Path
	if endpoint == "/message" {
		endpoint = "/sse"
	}
	return fmt.Sprintf(`Bearer realm="kubbi-mcp", resource_metadata="%s%s%s"%s`, h.publicURL(r), metadataPath, endpoint, p.Challenge)
}

// publicURL gives the origin under which the sender of a request knows the server.
func (h *HTTP) publicURL(r *http.Request) string {
	if h.guard.PublicURL() != "" {
		return h.guard.PublicURL()
	}
	u := url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}

// serveMetadata answers with protected resource metadata (RFC 9728), which the MCP
// specification requires. The list of authorization servers must not be empty: it
// names this server, since the people who run it give out the tokens.
func (h *HTTP) serveMetadata(w http.ResponseWriter, r *http.Request) {
	endpoint := r.PathValue("endpoint")
	switch endpoint {
	case "":
		endpoint = "mcp"
	case "mcp", "sse", "metrics":
	default:
		http.NotFound(w, r)
		return
	}
	origin := h.publicURL(r)
	writeJSON(w, http.StatusOK, struct {
		Resource             string   `json:"resource"`
		AuthorizationServers []string `json:"authorization_servers"`
		BearerMethods        []string `json:"bearer_methods_supported"`
		Name                 string   `json:"resource_name"`
	}{origin + "/" + endpoint, []string{origin}, []string{"header"}, "Kubbi"})
}
