//go:build unix

package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/local"
)

// childEnv names a data directory that a child process is to open.
const childEnv = "KUBBI_LOCAL_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(child(dir))
	}
	goleak.VerifyTestMain(m)
}

// child opens a data directory, makes a kubbi, and prints key and claim path.
func child(dir string) int {
	r, err := local.New(local.Config{Dir: dir, Origin: origin})
	if err == nil {
		err = r.Open(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	key, err := r.APIKey(context.Background())
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c, err := create(context.Background(), r, "from a child")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(key, c.ClaimToken)
	if err := r.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

const origin = "http://127.0.0.1:7117" // served in-process only, unless a test says Serve

func newRelay(t *testing.T, cfg local.Config) *local.Relay {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "parent", "kubbi")
	}
	if cfg.Origin == "" {
		cfg.Origin = origin
	}
	r, err := local.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// elsewhere is a transport for requests that are not the relay's.
type elsewhere struct{}

var errElsewhere = errors.New("sent elsewhere")

func (elsewhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, errElsewhere }

func client(r *local.Relay) *http.Client { return &http.Client{Transport: r.RoundTripper(elsewhere{})} }

func create(ctx context.Context, r *local.Relay, content string) (c api.CreateResponse, err error) {
	body, err := json.Marshal(map[string]any{"content": content, "content_type": "text/plain", "ttl_seconds": 600, "max_retrievals": 1})
	if err != nil {
		return c, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, origin+api.PathKubbis, bytes.NewReader(body))
	if err != nil {
		return c, err
	}
	resp, err := client(r).Do(req)
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return c, err
	}
	if resp.StatusCode != http.StatusCreated {
		return c, fmt.Errorf("create: %s: %s", resp.Status, b)
	}
	return c, json.Unmarshal(b, &c)
}

func mustCreate(t *testing.T, r *local.Relay, content string) api.CreateResponse {
	t.Helper()
	c, err := create(t.Context(), r, content)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// claim gives the content of a kubbi.
func claim(t *testing.T, c *http.Client, base, token string) (string, int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/r/"+token+"/claim", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Content string }
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return v.Content, resp.StatusCode
}

func TestFirstRunIsPrivate(t *testing.T) {
	old := syscall.Umask(0) // the laxest there is
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "kubbi")
	r := newRelay(t, local.Config{Dir: dir})
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("New touched the disk")
	}
	mustCreate(t, r, "x")
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			names = append(names, d.Name())
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(names)
	for _, want := range []string{"api-key", "keyring.json", "store.db"} {
		if i := sort.SearchStrings(names, want); i == len(names) || names[i] != want {
			t.Errorf("no %s among %v", want, names)
		}
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".tmp") {
			t.Errorf("%s was left behind", n)
		}
	}
}

func TestFirstRunRace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kubbi")
	relays := make([]*local.Relay, 12)
	keys := make([]string, len(relays))
	var wg sync.WaitGroup
	for i := range relays {
		relays[i] = newRelay(t, local.Config{Dir: dir})
		for range 2 { // and twice each
			wg.Go(func() {
				if err := relays[i].Open(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for i, r := range relays {
		var err error
		if keys[i], err = r.APIKey(t.Context()); err != nil || keys[i] != keys[0] {
			t.Errorf("relay %d has another key, or none: %v", i, err)
		}
		c := mustCreate(t, r, fmt.Sprint("from ", i))
		if got, _ := claim(t, client(relays[(i+1)%len(relays)]), origin, c.ClaimToken); got != fmt.Sprint("from ", i) {
			t.Errorf("relay %d's kubbi is %q to its neighbour", i, got)
		}
	}
}

func TestFirstRunRaceOfProcesses(t *testing.T) {
	for range 3 {
		dir := filepath.Join(t.TempDir(), "kubbi")
		out := make([]string, 6)
		var wg sync.WaitGroup
		for i := range out {
			wg.Go(func() {
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), childEnv+"="+dir)
				b, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("child %d: %v: %s", i, err, b)
				}
				out[i] = string(b)
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		r := newRelay(t, local.Config{Dir: dir})
		key, err := r.APIKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range out {
			childKey, token, _ := strings.Cut(strings.TrimSpace(o), " ")
			if childKey != key {
				t.Errorf("child %d has another key", i)
			}
			if got, _ := claim(t, client(r), origin, token); got != "from a child" {
				t.Errorf("child %d's kubbi holds %q", i, got)
			}
		}
	}
}

// snapshot gives the files of a directory that an error must leave alone.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n == "keyring.json" || n == "store.db" || n == "api-key" {
			b, err := os.ReadFile(filepath.Join(dir, n))
			if err != nil {
				t.Fatal(err)
			}
			out[n] = string(b)
		}
	}
	return out
}

// TestBrokenDirectory opens directories that something has happened to: each
// is an error that names the file and what to do, twice, and changes nothing;
// once mended, the same relay opens.
func TestBrokenDirectory(t *testing.T) {
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
		{"keyring lost", remove("keyring.json"), []string{"keyring.json is missing", "restore it from a backup", "store.db"}, local.ErrKeyringLost},
		{"another keyring", write("keyring.json", string(otherRing)), []string{"keyring.json has no key", "restore it from a backup", "store.db"}, local.ErrKeyringLost},
		{"keyring emptied", write("keyring.json", ""), []string{"keyring.json", "not valid JSON", "restore it from a backup"}, nil},
		{"keyring of a newer version", write("keyring.json", `{"version":2}`), []string{"keyring.json", "version 2"}, nil},
		{"keyring too large", write("keyring.json", strings.Repeat(" ", 2<<20)), []string{"keyring.json is larger than"}, nil},
		{"keyring readable", chmod("keyring.json", 0o644), []string{"keyring.json may be read by others", "chmod 600"}, nil},
		{"key readable", chmod("api-key", 0o640), []string{"api-key may be read by others", "chmod 600"}, nil},
		{"key emptied", write("api-key", ""), []string{"api-key holds no API key", "remove it"}, nil},
		{"key garbled", write("api-key", "kb_a kb_b"), []string{"api-key holds no API key"}, nil},
		{"directory open to all", chmod("", 0o777), []string{"may be written by others", "chmod 700"}, nil},
		{"store garbled", write("store.db", strings.Repeat("no data base at all", 1000)), []string{"store.db"}, nil},
	} {
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

// TestReadOnlyDirectory opens a directory as somebody who may not write there.
func TestReadOnlyDirectory(t *testing.T) {
	base, err := os.MkdirTemp("", "kubbi-read-only")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	dir := filepath.Join(base, "kubbi")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	// Root may write anywhere: its child is nobody, and runs a copy of this
	// program that nobody may run.
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	if os.Geteuid() == 0 {
		program, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path = filepath.Join(base, "program")
		if err := os.WriteFile(cmd.Path, program, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	cmd.Dir = base
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), dir) || !strings.Contains(string(out), "permission denied") {
		t.Errorf("%v: %s", err, out)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestOpenIsCancelled(t *testing.T) {
	r := newRelay(t, local.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled open: %v", err)
	}
	if err := r.Open(t.Context()); err != nil {
		t.Errorf("open after a cancelled one: %v", err)
	}
}

func TestClosed(t *testing.T) {
	for name, open := range map[string]bool{"opened": true, "never opened": false} {
		r := newRelay(t, local.Config{})
		if open {
			mustCreate(t, r, "x")
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := r.Open(t.Context()); !errors.Is(err, local.ErrClosed) {
			t.Errorf("%s: open after close: %v", name, err)
		}
		if _, err := create(t.Context(), r, "x"); !errors.Is(err, local.ErrClosed) {
			t.Errorf("%s: create after close: %v", name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  local.Config
		want string
	}{
		"no directory": {local.Config{Origin: origin}, "data directory"},
		"no origin":    {local.Config{Dir: "x"}, "not of the form"},
		"https":        {local.Config{Dir: "x", Origin: "https://127.0.0.1:1"}, "not of the form"},
		"path":         {local.Config{Dir: "x", Origin: "http://127.0.0.1:1/x"}, "not of the form"},
		"user":         {local.Config{Dir: "x", Origin: "http://u@127.0.0.1:1"}, "not of the form"},
		"a host":       {local.Config{Dir: "x", Origin: "http://relay.test:1"}, "team relay"},
		"every host":   {local.Config{Dir: "x", Origin: "http://0.0.0.0:1"}, "team relay"},
		"private":      {local.Config{Dir: "x", Origin: "http://192.168.1.1:1"}, "team relay"},
		"port 0":       {local.Config{Dir: "x", Origin: "http://127.0.0.1:0"}, "name its port"},
	} {
		if _, err := local.New(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, o := range []string{"http://localhost:1", "http://LOCALHOST:1/", "http://[::1]:1", "http://127.0.0.2", "http://[::ffff:127.0.0.1]:1"} {
		if _, err := local.New(local.Config{Dir: "x", Origin: o}); err != nil {
			t.Errorf("%s: %v", o, err)
		}
	}
}
