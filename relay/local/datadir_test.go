package local_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/local"
)

// snapshot reads the files of a directory that an error must not change.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n == "keyring.json" || n == "kubbi.db" || n == "api-key" {
			b, err := os.ReadFile(filepath.Join(dir, n))
			if err != nil {
				t.Fatal(err)
			}
			out[n] = string(b)
		}
	}
	return out
}

// TestBrokenDirectory opens damaged directories. Each attempt is an error that names the
// file and the cure, and changes nothing. Once it is repaired, the same relay opens.
func TestBrokenDirectory(t *testing.T) {
	testkit.OnlyPlain(t, "one relay after the other")
	write := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	chmod := func(name string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := newRelay(t, local.Config{Dir: foreign}).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	otherRing, err := os.ReadFile(filepath.Join(foreign, "keyring.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		do   func(*testing.T, string)
		want []string
		is   error
	}{
		{"keyring lost", remove("keyring.json"), []string{"keyring.json is missing", "restore it from a backup", "kubbi.db"}, keyring.ErrLost},
		{"another keyring", write("keyring.json", string(otherRing)), []string{"keyring.json has no key", "restore it from a backup", "kubbi.db"}, keyring.ErrLost},
		{"keyring emptied", write("keyring.json", ""), []string{"keyring.json", "not valid JSON", "restore it from a backup"}, nil},
		{"keyring of a newer version", write("keyring.json", `{"version":2}`), []string{"keyring.json", "version 2"}, nil},
		{"keyring too large", write("keyring.json", strings.Repeat(" ", 2<<20)), []string{"keyring.json is larger than"}, nil},
		{"keyring readable", chmod("keyring.json", 0o644), []string{"keyring.json may be read by others", "chmod 600"}, nil},
		{"key readable", chmod("api-key", 0o640), []string{"api-key may be read by others", "chmod 600"}, nil},
		{"key emptied", write("api-key", ""), []string{"api-key holds no API key", "remove it"}, nil},
		{"key garbled", write("api-key", "kb_a kb_b"), []string{"api-key holds no API key"}, nil},
		{"directory open to all", chmod("", 0o777), []string{"may be written by others", "chmod 700"}, nil},
		{"store garbled", write("kubbi.db", strings.Repeat("no data base at all", 1000)), []string{"kubbi.db"}, nil},
	} {
		if runtime.GOOS == "windows" && strings.Contains(strings.Join(tc.want, " "), "chmod") {
			continue // there are no modes
		}
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "kubbi")
			first, err := local.New(local.Config{Dir: dir, Origin: origin})
			if err != nil {
				t.Fatal(err)
			}
			c := mustCreate(t, first, "kept")
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			whole := snapshot(t, dir)
			tc.do(t, dir)
			broken := snapshot(t, dir)
			r := newRelay(t, local.Config{Dir: dir})
			for range 2 {
				err := r.Open(t.Context())
				if err == nil {
					t.Fatal("it opened")
				}
				for _, want := range append(tc.want, dir) {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q does not say %q", err, want)
					}
				}
				if tc.is != nil && !errors.Is(err, tc.is) {
					t.Errorf("%v is not %v", err, tc.is)
				}
			}
			if now := snapshot(t, dir); fmt.Sprint(now) != fmt.Sprint(broken) {
				t.Error("the files were changed")
			}
			// In-process, the caller reads why.
			resp, err := client(r).Get(origin + "/health")
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode < 500 || !strings.Contains(string(b), tc.want[0]) {
				t.Errorf("in-process: %d %s", resp.StatusCode, b)
			}
			for name, content := range whole {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				chmod(name, 0o600)(t, dir)
			}
			chmod("", 0o700)(t, dir)
			if got, _ := claim(t, client(r), origin, c.ClaimToken); got != "kept" {
				t.Errorf("after mending, the kubbi holds %q", got)
			}
		})
	}
}

func TestAPIKeyLost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kubbi")
	first, err := local.New(local.Config{Dir: dir, Origin: origin})
	if err != nil {
		t.Fatal(err)
	}
	c := mustCreate(t, first, "x")
	old, err := first.APIKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "api-key")); err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, local.Config{Dir: dir})
	key, err := r.APIKey(t.Context())
	if err != nil || key == old || !strings.HasPrefix(key, api.KeyPrefix) {
		t.Fatalf("no new key: %v", err)
	}
	resp, err := client(r).Get(origin + api.PathKubbi + c.ID)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("the old key's kubbi: %s", resp.Status)
	}
}
