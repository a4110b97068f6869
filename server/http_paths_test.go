package server

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestPathsAreNotRedirected checks that the answer is 404 where a mux would redirect,
// with the path and query in the body.
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
