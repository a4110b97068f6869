package kubbi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
)

func TestParseClaimURL(t *testing.T) {
	const tok = testToken
	tests := []struct{ in, origin, fragment string }{
		{"https://api.kubbi.ai/r/" + tok, "https://api.kubbi.ai", ""},
		{"https://api.kubbi.ai/r/" + tok + "/", "https://api.kubbi.ai", ""},
		{"https://api.kubbi.ai/r/" + tok + "///", "https://api.kubbi.ai", ""},
		{"https://api.kubbi.ai/r/" + tok + "/claim", "https://api.kubbi.ai", ""},
		{"https://api.kubbi.ai/r/" + tok + "/inspect/", "https://api.kubbi.ai", ""},
		{"https://api.kubbi.ai/r/" + tok + "/claim#k=abc", "https://api.kubbi.ai", "k=abc"},
		{"HTTPS://API.Kubbi.AI/r/" + tok, "https://api.kubbi.ai", ""},
		{"https://api.kubbi.ai:443/r/" + tok, "https://api.kubbi.ai", ""},
		{"https://api.kubbi.ai:/r/" + tok, "https://api.kubbi.ai", ""},
		{"https://api.kubbi.ai:0443/r/" + tok, "https://api.kubbi.ai", ""},
		{"https://api.kubbi.ai:8443/r/" + tok, "https://api.kubbi.ai:8443", ""},
		{"http://127.0.0.1:7117/r/" + tok, "http://127.0.0.1:7117", ""},
		{"http://localhost:80/r/" + tok, "http://localhost", ""},
		{"http://[::1]:7117/r/" + tok, "http://[::1]:7117", ""},
		{"http://[0:0:0:0:0:0:0:1]/r/" + tok, "http://[::1]", ""},
		{" \n<https://api.kubbi.ai/r/" + tok + "> ", "https://api.kubbi.ai", ""},
		{"\"`https://api.kubbi.ai/r/" + tok + "`\"", "https://api.kubbi.ai", ""},
		{"https://api.kubbi.ai/r/%5Am9yLXRlc3RzLW9ubHktbm90LWEtc2VjcmV0LTEyMzQ", "https://api.kubbi.ai", ""},
		{"https://xn--kubb-epa.ai/r/" + tok, "https://xn--kubb-epa.ai", ""},
		{tok, "", ""},
		{"'" + tok + "'\n", "", ""},
		{tok + "#k=abc", "", "k=abc"},
		{tok + ".", "", ""},
		{tok + "%23k=abc", "", "k=abc"},
		{"https://api.kubbi.ai/r/" + tok + "\r\nHost: x", "https://api.kubbi.ai", ""},
	}
	for _, tt := range tests {
		u, err := ParseClaimURL(tt.in)
		if err != nil {
			t.Errorf("ParseClaimURL(%q): %v", tt.in, err)
			continue
		}
		if u.Origin() != tt.origin || u.Token() != tok || u.Fragment() != tt.fragment {
			t.Errorf("ParseClaimURL(%q) = %q %q %q", tt.in, u.Origin(), u.Token(), u.Fragment())
		}
	}
}

func TestParseClaimURLRefuses(t *testing.T) {
	const tok = testToken
	tests := []struct{ in, says string }{
		{"", "empty"},
		{"  ", "empty"},
		{"\"\"", "empty"},
		{strings.Repeat("x", 20_000), "longer"},
		{tok[:15], "neither"},
		{strings.Repeat("x", 513), "neither"},
		{"/r/" + tok, "neither"},
		{tok + "/claim", "neither"},
		{tok + "=", "neither"},
		{tok + "?x", "neither"},
		{"https://api.kubbi.ai?/r/" + tok, "query"},
		{"https://user@api.kubbi.ai/r/" + tok, "user name"},
		{"https://api.kubbi.ai@evil.example/r/" + tok, "user name"},
		{"https://api.kubbi.ai:443@evil.example/r/" + tok, "user name"},
		{"https://evil.example\\@api.kubbi.ai/r/" + tok, "backslash"},
		{"ftp://api.kubbi.ai/r/" + tok, "scheme"},
		{"file:///r/" + tok, "scheme"},
		{"javascript://api.kubbi.ai/r/" + tok, "scheme"},
		{"https:///r/" + tok, "host"},
		{"https://:443/r/" + tok, "host"},
		{"https://api..kubbi.ai/r/" + tok, "host"},
		{"https://api.kubbi.ai./r/" + tok, "host"},
		{"https://-api.kubbi.ai/r/" + tok, "host"},
		{"https://api%2ekubbi.ai/r/" + tok, "host"},
		{"https://api,kubbi.ai/r/" + tok, "host"},
		{"https://аpi.kubbi.ai/r/" + tok, "ASCII"}, // a Cyrillic а
		{"https://api。kubbi。ai/r/" + tok, "ASCII"},
		{"https://2130706433/r/" + tok, "host"},
		{"https://127.1/r/" + tok, "host"},
		{"https://0x7f.0.0.1/r/" + tok, "host"},
		{"https://127.0.0.0x1/r/" + tok, "host"},
		{"https://0177.0.0.1/r/" + tok, "host"},
		{"https://" + strings.Repeat("a", 64) + ".ai/r/" + tok, "host"},
		{"https://" + strings.Repeat("a.", 127) + "ai/r/" + tok, "host"},
		{"https://[fe80::1%25eth0]/r/" + tok, "IPv6"},
		{"https://[::1/r/" + tok, "IPv6"},
		{"https://[::1]evil/r/" + tok, "IPv6"},
		{"https://[127.0.0.1]/r/" + tok, "IPv6"},
		{"https://::1/r/" + tok, "host"},
		{"https://api.kubbi.ai:0/r/" + tok, "port"},
		{"https://api.kubbi.ai:65536/r/" + tok, "port"},
		{"https://api.kubbi.ai:+443/r/" + tok, "port"},
		{"https://api.kubbi.ai:443:1/r/" + tok, "port"},
		{"https://api.kubbi.ai/" + tok, "path"},
		{"https://api.kubbi.ai/R/" + tok, "path"},
		{"https://api.kubbi.ai//r/" + tok, "path"},
		{"https://api.kubbi.ai/x/../r/" + tok, "path"},
		{"https://api.kubbi.ai/%72/" + tok, "path"},
		{"https://api.kubbi.ai/r/", "path"},
		{"https://api.kubbi.ai/r//" + tok, "token"},
		{"https://api.kubbi.ai/r/" + tok + "/claim/inspect", "token"},
		{"https://api.kubbi.ai/r/" + tok + "/x", "token"},
		{"https://api.kubbi.ai/r/" + tok + "/..", "token"},
		{"https://api.kubbi.ai/r/" + tok + "%2Fclaim", "token"},
		{"https://api.kubbi.ai/r/" + tok + "%2e%2e", "token"},
		{"https://api.kubbi.ai/r/" + tok + "%00", "token"},
		{"https://api.kubbi.ai/r/" + tok + "%", "percent"},
		{"https://api.kubbi.ai/r/" + tok + "%2541", "percent"},
		{"https://api.kubbi.ai/r/" + tok[:20] + " " + tok[20:], "space"},
		{"https://api.kubbi.ai/r/" + tok + "\x00", "control"},
		{"https://api.kubbi.ai/r/" + tok + "#\x7f", "control"},
	}
	for _, tt := range tests {
		u, err := ParseClaimURL(tt.in)
		if err == nil {
			t.Errorf("ParseClaimURL(%q) = %q, want an error", tt.in, u.URL())
			continue
		}
		if !errors.Is(err, ErrValidation) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("ParseClaimURL(%q): %v, want ErrValidation that says %q", tt.in, err, tt.says)
		}
		wantNone(t, "error", err.Error(), tok[:15], "evil")
	}
}

// A ClaimURL shows its secrets only to those who ask for them by name.
func TestClaimURLIsRedacted(t *testing.T) {
	u, err := ParseClaimURL("https://api.kubbi.ai/r/" + testToken + "#k=fragment-key")
	if err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	l, logged := logger()
	l.Info("x", "url", u, "nested", struct{ U any }{u})
	all := fmt.Sprintf("%v %+v %#v %s %q %d %x %v", u, u, u, u, u, u, u, &u) + string(j) + logged()
	wantNone(t, "output", all, testToken, "fragment-key")
	if !strings.Contains(all, "https://api.kubbi.ai/r/[redacted]") {
		t.Errorf("output does not show the origin: %s", all)
	}
}

// The request has the plain form of the claim URL, however it was written.
func TestSentPath(t *testing.T) {
	var s seen
	c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		s.add(r)
		if strings.HasSuffix(r.URL.Path, api.SuffixClaim) {
			answer(w, 200, okClaim)
			return
		}
		answer(w, 200, okInspect)
	})
	upper := strings.ToUpper(srv.URL[:7]) + srv.URL[7:]
	forms := []string{
		testToken, srv.URL + "/r/" + testToken, "<" + upper + "/r/" + testToken + "/claim/>",
		srv.URL + "/r/" + testToken + "/inspect#", srv.URL + "/r/%5A" + testToken[1:],
	}
	for _, f := range forms {
		if _, err := c.Inspect(context.Background(), f); err != nil {
			t.Errorf("Inspect(%q): %v", f, err)
		}
		if _, err := c.Claim(context.Background(), f, looked()); err != nil {
			t.Errorf("Claim(%q): %v", f, err)
		}
	}
	reqs := s.all()
	if len(reqs) != 2*len(forms) {
		t.Fatalf("%d requests, want %d", len(reqs), 2*len(forms))
	}
	for i, r := range reqs {
		wantMethod, wantPath, accept := http.MethodGet, "/r/"+testToken+"/inspect", api.TypeJSON
		if i%2 == 1 {
			accept = api.TypeRaw + ", " + api.TypeJSON
			wantMethod, wantPath = http.MethodPost, "/r/"+testToken+"/claim"
		}
		if r.method != wantMethod || r.path != wantPath || r.query != "" || r.body != "" {
			t.Errorf("request %d is %s %s?%s with body %q, want %s %s", i, r.method, r.path, r.query, r.body, wantMethod, wantPath)
		}
		if got := r.header.Get("Authorization"); got != "" {
			t.Errorf("request %d sends the API key to a consumer route", i)
		}
		if got := r.header.Get("Accept"); got != accept {
			t.Errorf("Accept is %q", got)
		}
	}
}
