package server

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestOwnOrigin tells this server's own pages from those of its name that came
// another way.
func TestOwnOrigin(t *testing.T) {
	g, err := newGuard("", []string{"kubbi.example"}, []string{"https://app.example:443"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		origin string
		tls    bool
		ok     bool
	}{
		{"http://kubbi.example", false, true},
		{"https://kubbi.example", false, true}, // a proxy has the TLS
		{"https://kubbi.example", true, true},
		{"http://kubbi.example", true, false}, // whoever is on the way may have written it
		{"https://kubbi.example:444", true, false},
		{"ftp://kubbi.example", false, false},
		{"https://kubbi.example.evil.example", true, false},
		{"https://app.example", true, true},
		{"http://app.example", false, false},
		{"null", false, false},
	} {
		r := &http.Request{Host: "kubbi.example", Header: http.Header{"Origin": {tc.origin}}}
		if tc.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if p := g.check(r); (p == nil) != tc.ok {
			t.Errorf("%s, TLS %v: %+v", tc.origin, tc.tls, p)
		}
	}
}

// TestPathsAreNotRedirected: what a mux would redirect, with the path and query in
// the answer's body, is answered 404.
func TestPathsAreNotRedirected(t *testing.T) {
	s := newHost(t, HTTPConfig{})
	s.hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, path := range []string{"//mcp?s3cret", "/./message?sessionId=s3cret", "/x/../r/s3cret", "//r/s3cret"} {
		resp := s.open(t.Context(), t, http.MethodGet, path, "", "")
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusNotFound || resp.Header.Get("Location") != "" || resp.Header.Get("Cache-Control") != "no-store" || strings.Contains(string(b), "s3cret") {
			t.Errorf("%s: %d %v %s", path, resp.StatusCode, resp.Header, b)
		}
	}
}
