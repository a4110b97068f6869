package kubbi

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
)

// The length of claim tokens, in bytes.
const (
	minToken = 16
	maxToken = 512
)

// ClaimURL is a parsed claim URL or bare claim token. Token and fragment are secrets:
// printing and marshalling leave them out.
type ClaimURL struct {
	origin          origin.Origin // the zero value for a bare token
	token, fragment string

	schemeGuessed bool // the text had no scheme
}

// Origin is scheme, host and port in their shortest form, such as
// "https://api.kubbi.ai". It is empty for a bare token.
func (u ClaimURL) Origin() string { return u.origin.String() }

// Token is the claim token: a secret.
func (u ClaimURL) Token() string { return u.token }

// Fragment is what follows "#". No request carries it. It is a secret.
func (u ClaimURL) Fragment() string { return u.fragment }

// URL is the claim URL without the fragment, or the bare token: a secret.
func (u ClaimURL) URL() string {
	if u.bare() {
		return u.token
	}
	return u.Origin() + api.PathClaim + u.token
}

// bare reports whether this is a bare token.
func (u ClaimURL) bare() bool { return u.origin == (origin.Origin{}) }

// String shows the origin and no secret.
func (u ClaimURL) String() string { return u.Origin() + api.PathClaim + "[redacted]" }

// Format writes what String shows, for every verb.
func (u ClaimURL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.String()) }

// MarshalText writes what String shows.
func (u ClaimURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// ParseClaimURL reads a claim URL, https://<host>/r/<token>, or a bare claim token.
// It also finds the one claim URL in a text, such as a sentence, a Markdown link or a
// URL without its scheme. It keeps a fragment, drops a query string, trailing slashes
// and the suffixes /claim and /inspect, and accepts scheme and host in upper case.
//
// If the text has no claim URL or two different ones, the error matches ErrValidation. The
// error does not quote the text.
//
// ParseClaimURL does not check whether the origin is allowed. Client does that before it
// connects.
func ParseClaimURL(s string) (ClaimURL, error) {
	if len(s) > maxClaimText {
		return ClaimURL{}, invalid("claim URL is longer than %d bytes", maxClaimText)
	}
	s = unwrap(s)
	if inner, ok := claimURLInJSON(s); ok {
		s = unwrap(inner)
	}
	if s == "" {
		return ClaimURL{}, invalid("claim URL is empty")
	}
	token, fragment := cutFragment(strings.TrimRight(s, ".,;:!?"))
	switch {
	case isID(token):
		return ClaimURL{}, invalid("this is a kubbi's id, for get and delete, and no claim URL; only the claim_url that its sender got opens it")
	case isToken(token):
		return ClaimURL{token: token, fragment: cleanFragment(fragment)}, nil
	}
	return findClaimURL(s)
}

// unwrap removes the space and the quotes that people and models put around a URL.
func unwrap(s string) string {
	for {
		s = strings.TrimSpace(s)
		n := len(s)
		if n < 2 {
			return s
		}
		switch s[:1] + s[n-1:] {
		case "<>", `""`, "''", "``":
			s = s[1 : n-1]
		default:
			return s
		}
	}
}

func isToken(s string) bool {
	notPart := func(r rune) bool { return !isLetterOrDigit(r) && r != '-' && r != '_' }
	return len(s) >= minToken && len(s) <= maxToken && !strings.ContainsFunc(s, notPart)
}

// pathToken gives the token in /r/<token>, with or without a suffix.
func pathToken(path string) (string, error) {
	path = strings.TrimRight(path, "/")
	segment, ok := strings.CutPrefix(path, api.PathClaim)
	if !ok {
		return "", errors.New("has another path than /r/<token>")
	}
	// A token is never followed by both suffixes.
	if s, ok := strings.CutSuffix(segment, api.SuffixClaim); ok {
		segment = s
	} else if s, ok := strings.CutSuffix(segment, api.SuffixInspect); ok {
		segment = s
	}
	token, err := url.PathUnescape(segment)
	if err != nil || strings.Contains(token, "%") {
		return "", errors.New("has wrong percent-encoding in its path")
	}
	if !isToken(token) {
		return "", fmt.Errorf("has no plain claim token after /r/: one has %d to %d characters of A-Z a-z 0-9 - _", minToken, maxToken)
	}
	return token, nil
}

// claimURLInJSON gives the claim URL in one of the JSON objects that agents send each
// other: {"type":"kubbi_claim_url","url":...} and {"input_type":"kubbi","claim_url":...}.
func claimURLInJSON(text string) (string, bool) {
	if !strings.HasPrefix(text, "{") {
		return "", false
	}
	var o struct {
		Type      string `json:"type"`
		URL       string `json:"url"`
		InputType string `json:"input_type"`
		ClaimURL  string `json:"claim_url"`
	}
	if json.Unmarshal([]byte(text), &o) != nil {
		return "", false
	}
	switch {
	case o.Type == "kubbi_claim_url" && o.URL != "" && o.ClaimURL == "":
		return o.URL, true
	case o.InputType == "kubbi" && o.ClaimURL != "" && o.URL == "":
		return o.ClaimURL, true
	}
	return "", false
}
