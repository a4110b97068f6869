package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// TestHostileRelay claims from a hostile relay. It sends names that lead outside the
// folder, in the inspection or only in the claim.
func TestHostileRelay(t *testing.T) {
	const file = `{"name":%q,"content_type":"text/plain","size_bytes":4,"role":null%s}`
	answer := func(extra string, names ...string) string {
		var files []string
		for _, name := range names {
			files = append(files, fmt.Sprintf(file, name, extra))
		}
		return fmt.Sprintf(`{"type":"kubbi_package","kubbi_id":"00000000-0000-4000-8000-000000000000","status":"active",
			"file_count":%d,"total_size_bytes":4,"max_retrievals":1,"retrieval_count":0,"remaining_reads":1,"metadata":null,
			"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2036-03-28T12:00:00.000Z","files":[%s]}`,
			len(names), strings.Join(files, ","))
	}
	for _, c := range []struct {
		name            string
		inspect, claim  []string
		claims, written int
	}{
		{"offered", []string{"../evil"}, nil, 0, 0},
		{"absolute", []string{"/tmp/evil"}, nil, 0, 0},
		{"sprung", []string{"good"}, []string{"good", "../evil"}, 1, 0},
		{"swapped", []string{"good"}, []string{"there"}, 1, 0},
		{"honest", []string{"good"}, []string{"good"}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var claims atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch r.Method {
				case http.MethodPost:
					claims.Add(1)
					fmt.Fprint(w, answer(`,"content":"data"`, c.claim...))
				case http.MethodGet:
					fmt.Fprint(w, answer("", c.inspect...))
				}
			}))
			defer srv.Close()
			parent := t.TempDir()
			dir := filepath.Join(parent, "dir")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "there"), []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}
			env := map[string]string{"KUBBI_BASE_URL": srv.URL, "KUBBI_DATA_DIR": t.TempDir()}
			_, err := runIn(t, env, "claim", "-o", dir, srv.URL+"/r/"+strings.Repeat("A", 43))
			if (err == nil) != (c.name == "honest") {
				t.Errorf("error: %v", err)
			}
			if got := int(claims.Load()); got != c.claims {
				t.Errorf("claimed %d times, want %d", got, c.claims)
			}
			if entries, _ := os.ReadDir(parent); len(entries) != 1 {
				t.Errorf("written outside the folder: %v", entries)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1+c.written {
				t.Errorf("in the folder: %v", entries)
			}
			if b, _ := os.ReadFile(filepath.Join(dir, "there")); string(b) != "kept" {
				t.Error("a file was written over")
			}
		})
	}
}

// TestClaimRemark checks the remark after a claim.
func TestClaimRemark(t *testing.T) {
	expires := api.NewTime(time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC))
	claimed := func(burned, known bool, left *int) *kubbi.Claimed {
		return &kubbi.Claimed{ClaimResponse: api.ClaimResponse{Burned: burned, ExpiresAt: expires}, RemainingKnown: known, Remaining: left}
	}
	for _, c := range []struct {
		claimed *kubbi.Claimed
		want    string
	}{
		{claimed(true, true, new(0)), "burned"},
		{claimed(false, true, new(1)), "1 retrieval left"},
		{claimed(false, true, new(2)), "2 retrievals left"},
		{claimed(false, true, nil), "until it expires"},
		{claimed(false, false, nil), "claimed"},
	} {
		if got := claimRemark(c.claimed); !strings.Contains(got, c.want) {
			t.Errorf("remark %q lacks %q", got, c.want)
		}
	}
}
