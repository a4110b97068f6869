package local_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/local"
)

// TestPageWhenNothingOpens has a relay that can't open its directory. A browser gets a
// page that says so, a program gets JSON.
func TestPageWhenNothingOpens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := local.New(local.Config{Dir: filepath.Join(file, "dir"), Origin: "http://127.0.0.1:7117"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for accept, want := range map[string]string{
		"text/html,*/*;q=0.8": "Not available right now", "*/*": `"error":"unavailable"`,
	} {
		req := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:7117"+api.PathClaim+strings.Repeat("A", 43), nil)
		req.Header.Set("Accept", accept)
		rec := httptest.NewRecorder()
		r.Handler().ServeHTTP(rec, req)
		if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("Accept %s: %d %.200s", accept, rec.Code, rec.Body)
		}
	}
}
