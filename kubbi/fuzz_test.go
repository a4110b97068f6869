package kubbi

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
)

func FuzzParseClaimURL(f *testing.F) {
	for _, s := range []string{
		"https://api.kubbi.ai/r/" + testToken, testToken, "<http://[::1]:7117/r/" + testToken + "/claim#k=x>",
		"https://u@h/r/" + testToken, "https://h:443/r/" + testToken + "%41/inspect//", "HTTPS://H.EXAMPLE:/r/" + testToken,
		"https://127.1/r/" + testToken, "https://h\\@g/r/" + testToken, "https://h/r/" + testToken + "?q",
		"[x](" + testURL + ")", "<" + testURL + "|" + otherURL + ">", "see " + plainHost + "%23k=x.", "https://e.example/?u=" + testURL, "「localhost:7117/r/" + testToken + "…」",
		`{"type":"kubbi_claim_url","url":"` + testURL + `"}`, "https%3A%2F%2Fh.example%2Fr%2F" + testToken, "https://x.safelinks.protection.outlook.com/?url=https%3A%2F%2Fh.example%2Fr%2F" + testToken,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseClaimURL(s)
		if err != nil {
			if u != (ClaimURL{}) || !errors.Is(err, ErrValidation) {
				t.Fatalf("a refusal gives %#v, %v", u, err)
			}
			return
		}
		if !isToken(u.Token()) {
			t.Fatalf("token is not plain: %q", u.Token())
		}
		for _, r := range u.URL() + u.Fragment() {
			if r <= ' ' || r >= 0x7f {
				t.Fatalf("a character gets through: %q", u.URL()+"#"+u.Fragment())
			}
		}
		again, err := ParseClaimURL(u.URL())
		if err != nil || again.URL() != u.URL() {
			t.Fatalf("%q does not parse as itself: %q, %v", u.URL(), again.URL(), err)
		}
		if u.Origin() == "" {
			return
		}
		if o, err := origin.Parse(u.Origin()); err != nil || o != u.origin {
			t.Fatalf("origin %q does not parse as itself: %q, %v", u.Origin(), o, err)
		}
		ours, err := http.NewRequest(http.MethodGet, u.URL(), nil)
		if err != nil || ours.URL.Path != "/r/"+u.Token() {
			t.Fatalf("%q gives the request %v, %v", s, ours, err)
		}
		// The host stands in the text, in one of the forms that are undone.
		text, plain := strings.ToLower(s), s
		for range 3 {
			if p, err := url.PathUnescape(plain); err == nil {
				plain = p
				text += " " + strings.ToLower(p)
			}
			text += strings.ReplaceAll(text, `\/`, "/")
		}
		if host := ours.URL.Hostname(); !strings.Contains(host, ":") && !strings.Contains(text, host) && !strings.Contains(s, `\u`) {
			t.Fatalf("%q does not name the host %q", s, host)
		}
		// Where net/http would go with the URL as it was given is where we go.
		given, err := url.Parse(unwrap(s))
		if err != nil || given.Scheme != "http" && given.Scheme != "https" || !strings.HasPrefix(given.Path, "/r/") {
			return // it was found in a text
		}
		port := func(u *url.URL) string {
			if p := strings.TrimLeft(u.Port(), "0"); p != "" {
				return p
			}
			return map[string]string{"https": "443", "http": "80"}[u.Scheme]
		}
		host := func(u *url.URL) string {
			if ip := net.ParseIP(u.Hostname()); ip != nil {
				return ip.String()
			}
			return strings.ToLower(u.Hostname())
		}
		if given.Scheme != ours.URL.Scheme || host(given) != host(ours.URL) || port(given) != port(ours.URL) || given.User != nil {
			t.Fatalf("%q would lead to %s %s, we go to %s", s, given.Scheme, given.Host, ours.URL.Host)
		}
		if !strings.HasPrefix(given.Path, "/r/"+u.Token()) && !strings.Contains(s, `\_`) {
			t.Fatalf("%q has the path %q, we ask for %q", s, given.Path, ours.URL.Path)
		}
	})
}

// FuzzDecodeClaim: no answer makes the client panic, and a payload is JSON that the server
// wrote.
func FuzzDecodeClaim(f *testing.F) {
	for _, s := range []string{
		`{"content":"x","content_type":"text/plain","metadata":null,"burned":true,"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2026-03-28T13:00:00.000Z"}`,
		`{"type":"kubbi_package","file_count":1,"files":[{"name":"a","content_type":"text/plain","size_bytes":1,"role":null,"content":"x"}],"metadata":{"k":[1]}}`,
		`{"content":null}`, `{"content":`, `{"content":{"a":1,"a":2}}`, `[]`, `{"files":null}`, `{"error":"gone","message":"x","messages":["y"]}`,
		`{"content":"` + strings.Repeat("x", maxRawCopy) + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		given := string(body)
		var cl api.ClaimResponse
		if err := decode(body, &cl); err == nil {
			for _, raw := range []json.RawMessage{cl.Content, cl.Metadata} {
				if raw != nil && (!json.Valid(raw) || !strings.Contains(given, string(raw))) {
					t.Fatalf("%q holds %q", given, raw)
				}
			}
			(&Claimed{ClaimResponse: cl}).Text()
		} else if !errors.Is(err, errNotJSON) && !errors.Is(err, errCutShort) && !errors.Is(err, errEmpty) {
			t.Fatalf("error is %v", err)
		}
		if string(body) != given {
			t.Fatal("decoding changed the answer")
		}
		var e api.ErrorBody
		if decode(body, &e) == nil {
			for _, r := range clean(e.Message, nil) + string(cleanCode(e.Error)) {
				if r < ' ' || r == 0x7f {
					t.Fatalf("a control character gets through: %q", e.Message)
				}
			}
		}
	})
}
