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
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/local"
)

// childEnv names the data directory that a child process opens.
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

// elsewhere is the transport for requests to other origins.
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

// claim returns the content of a kubbi.
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

// racers is how many open one store at once: fewer on Windows, where all that wait for a lock
// may wait too long under Wine on a busy machine.
func racers(n int) int {
	if runtime.GOOS == "windows" {
		return n / 3
	}
	return n
}

func TestFirstRunRace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kubbi")
	relays := make([]*local.Relay, racers(12))
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
	testkit.OnlyPlain(t, "the relays are other processes")
	for range 3 {
		dir := filepath.Join(t.TempDir(), "kubbi")
		out := make([]string, racers(6))
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
		"port 0":       {local.Config{Dir: "x", Origin: "http://127.0.0.1:0"}, "invalid port"},
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
