package tools

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
)

// TestListWithoutRequests lists at a service that has no requests, that fails to list them,
// and that does not answer. The kubbis are shown each time.
func TestListWithoutRequests(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		notice string
	}{
		"none": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":"not_found","message":"Cannot GET"}`)
		}, ""},
		"failure": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "Requests are not shown."},
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "Requests are not shown. The service did not list them within 5s. Call list again."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if r.URL.Path == api.PathRequests {
					c.answer(w, r)
					return
				}
				fmt.Fprint(w, `{"kubbis":[],"pagination":{"page":1,"limit":20,"total":7,"total_pages":1}}`)
			}))
			t.Cleanup(srv.Close)
			text := textOf(t, newCaller(t, "kb_test", srv.URL).call(t, "list", `{}`))
			if !strings.Contains(text, `"total":7`) || strings.Contains(text, "not shown") != (c.notice != "") || !strings.Contains(text, c.notice) {
				t.Error(text)
			}
		})
	}
}
