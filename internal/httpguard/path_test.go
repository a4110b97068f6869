package httpguard_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"kubbi-mcp/internal/httpguard"
)

// FuzzCleanPath: a mux redirects no path that is clean, however it is written.
func FuzzCleanPath(f *testing.F) {
	for _, p := range []string{"", "/", "//", "*", "/r/x", "//r/x", "/r//x", "/r/x/", "/r/./x", "/r/../x", "/%2fr/x", "/r/%2e%2e/x", "/r/x/..", "r/x", "/..."} {
		f.Add(p)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/r/{token}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/r/{token}/claim", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	f.Fuzz(func(t *testing.T, p string) {
		u, err := url.ParseRequestURI(p)
		if err != nil || u.Host != "" || !httpguard.CleanPath(u.Path) {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = u
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%q: %d to %q", p, w.Code, w.Header().Get("Location"))
		}
	})
}
