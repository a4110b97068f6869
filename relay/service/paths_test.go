package service

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
)

// TestPathsAreNotRedirected sends paths that a mux would clean and redirect, with the
// token in the body of the answer. They are answered 404 without caching, at every
// listener.
func TestPathsAreNotRedirected(t *testing.T) {
	s := serve(t, nil)
	status, body := s.call("POST", s.url+api.PathKubbis, `{"content":"x","content_type":"text/plain","ttl_seconds":60}`)
	_, token, _ := strings.Cut(body, "/r/")
	if status != 201 || len(token) < 43 {
		t.Fatalf("create: %d %s", status, body)
	}
	token = token[:43]
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, at := range []string{s.url, s.metrics} {
		for _, path := range []string{"//r/", "/./r/", "/x/../r/", "/r//", "///r/", "/%2e/r/", "//livez/../r/", "/r/../r/"} {
			for _, accept := range []string{"*/*", "text/html"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+path+token, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Accept", accept)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != 404 || resp.Header.Get("Location") != "" || resp.Header.Get("Cache-Control") != "no-store" || strings.Contains(string(b), token) {
					t.Errorf("%s%s: %d %v %.200s", at, path, resp.StatusCode, resp.Header, b)
				}
			}
		}
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if status, body := s.call("GET", s.url+path, ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := s.call("GET", s.url+"/r/"+token, ""); status != 200 {
		t.Errorf("the path itself: %d %s", status, body)
	}
}
