package stdio

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// TestLyingRelay has the program claim from a relay that announces 10 bytes and sends 3
// MB, then 64 MB. Both go to the disk, and neither to the client or into memory.
func TestLyingRelay(t *testing.T) {
	const times = `"metadata":null,"max_retrievals":1,"retrieval_count":0,"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2036-03-28T12:00:00.000Z"`
	block := bytes.Repeat([]byte("lies"), 256<<10)
	var claims atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method != http.MethodPost {
			w.Header().Set("Kubbi-Payload-Size", "10")
			fmt.Fprintf(w, `{"status":"active","content_type":"text/plain",%s}`, times)
			return
		}
		claims.Add(1)
		size := 64
		if strings.Contains(r.URL.Path, "A") {
			size = 3
		}
		fmt.Fprint(w, `{"burned":true,"content":"`)
		for range size {
			_, _ = w.Write(block)
		}
		fmt.Fprintf(w, `","content_type":"text/plain",%s}`, times)
	}))
	defer srv.Close()
	data := t.TempDir()
	s := startIn(t, data, "http://"+testkit.MustFreeAddr(t), "--base-url", srv.URL)
	for i, letter := range []string{"A", "B"} {
		res := s.callRaw(t, "claim", fmt.Sprintf(`{"claim_url":"%s/r/%s"}`, srv.URL, strings.Repeat(letter, 43)))
		if len(res.json) > 40<<10 || bytes.Contains(res.json, []byte("lieslies")) || int(claims.Load()) != i+1 {
			t.Fatalf("after %d claims %d bytes reach the client: %.500s", claims.Load(), len(res.json), res.json)
		}
		all, err := filepath.Glob(filepath.Join(data, "received", "*", "*"))
		if err != nil || len(all) != i+1 {
			t.Errorf("%d files are saved, %v: %.500s", len(all), err, res.json)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if peak, err := strconv.Atoi(strings.Fields(after)[0]); err != nil || peak > 96<<10 {
		t.Errorf("the binary used %d KiB of memory (%v)", peak, err)
	}
}
