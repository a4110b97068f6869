//go:build unix

package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/testkit"
)

// secrets are the secrets of a keyring as in its file.
func secrets(t *testing.T, ring *atrest.Keyring) (out []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`"secret": "([^"]+)"`).FindAllSubmatch(encode(t, ring), -1) {
		out = append(out, string(m[1]))
	}
	if len(out) != len(ring.IDs()) {
		t.Fatalf("%d secrets in %v", len(out), ring)
	}
	return out
}

// start opens a keyring and keeps it up to date until the test ends.
func start(t *testing.T, cfg keyring.Config) (*keyring.Live, *testkit.Log) {
	t.Helper()
	log := &testkit.Log{}
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	l, err := keyring.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l, log
}

// TestLiveFollows changes a keyring under a running relay, with and without errors.
func TestLiveFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, liveFollows)
}

func liveFollows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.json")
	one := newRing(t, 1)
	two := with(t, one, 2, when, time.Time{})
	put(t, path, encode(t, one))
	l, log := start(t, keyring.Config{Source: keyring.File(path)})
	put(t, path, encode(t, two))
	testkit.Await(t, "the new key is there", func() bool { return l.Current().String() == two.String() })
	for what, spoil := range map[string]func(){
		"not valid JSON":        func() { put(t, path, encode(t, two)[:100]) },
		"no such file":          func() { os.Remove(path) },
		"may be read by others": func() { put(t, path, encode(t, one)); os.Chmod(path, 0o644) },
		"does not belong to its": func() {
			put(t, path, bytes.Replace(encode(t, one), []byte(one.IDs()[0]), []byte("0123456789abcdef"), 1))
		},
	} {
		spoil()
		testkit.Await(t, "it complains that "+what, func() bool { return strings.Contains(log.String(), what) })
		if l.Current().String() != two.String() {
			t.Errorf("%s: the keyring is now %v", what, l.Current())
		}
	}
	put(t, path, encode(t, one))
	testkit.Await(t, "the keyring is well again", func() bool { return l.Current().String() == one.String() })
	out := log.String()
	if !strings.Contains(out, "can be read again") || strings.Count(out, path) < 5 {
		t.Errorf("logged: %s", out)
	}
	for _, secret := range secrets(t, two) {
		if strings.Contains(out, secret[:12]) {
			t.Errorf("the log shows a secret: %s", out)
		}
	}
}

// TestLiveCommand follows a program that may fail.
func TestLiveCommand(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyring.json")
	one := newRing(t, 1)
	two := with(t, one, 2, when, time.Time{})
	put(t, path, encode(t, one))
	program := script(t, "cat "+path+" && exit", "echo the vault is sealed >&2", "exit 1")
	l, log := start(t, keyring.Config{Source: keyring.Command{program, "--token=s3cret"}, Every: 100 * time.Millisecond})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "it complains", func() bool { return strings.Contains(log.String(), "the vault is sealed") })
	if l.Current().String() != one.String() {
		t.Errorf("the keyring is now %v", l.Current())
	}
	put(t, path, encode(t, two))
	testkit.Await(t, "the new key is there", func() bool { return l.Current().String() == two.String() })
	if out := log.String(); !strings.Contains(out, "command:"+program) || strings.Contains(out, "s3cret") {
		t.Errorf("logged: %s", out)
	}
}

// TestLiveKeepsWhatIsNeeded removes a key under which kubbis are sealed.
func TestLiveKeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, liveKeepsWhatIsNeeded)
}

func liveKeepsWhatIsNeeded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.json")
	one, other := newRing(t, 1), newRing(t, 2)
	both := with(t, one, 2, when, time.Time{})
	put(t, path, encode(t, both))
	var mu sync.Mutex
	needed, trouble := one.IDs(), error(nil)
	needs := func(context.Context) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, needed...), trouble
	}
	set := func(ids []string, err error) {
		mu.Lock()
		defer mu.Unlock()
		needed, trouble = ids, err
	}
	l, log := start(t, keyring.Config{Source: keyring.File(path), Needs: needs})
	if err := l.CheckComplete(t.Context(), "the store"); err != nil {
		t.Error(err)
	}
	put(t, path, encode(t, other))
	if err := l.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), one.IDs()[0]) {
		t.Errorf("a needed key has gone: %v", err)
	}
	set(nil, errors.New("the store is away"))
	if err := l.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "the store is away") {
		t.Errorf("the store is away: %v", err)
	}
	if l.Current().String() != both.String() || !strings.Contains(log.String(), "the last good one stays") {
		t.Errorf("the keyring is now %v; logged %s", l.Current(), log)
	}
	set([]string{"0123456789abcdef"}, nil)
	if err := l.Reload(t.Context()); err != nil || l.Current().String() != other.String() {
		t.Errorf("a key that is not needed has gone: %v, %v", l.Current(), err)
	}
	if err := l.CheckComplete(t.Context(), "the store"); !errors.Is(err, keyring.ErrLost) || !strings.Contains(err.Error(), "no key 0123456789abcdef,") {
		t.Errorf("a key is missing: %v", err)
	}
}

// TestReloadSeesWhatWasThere reloads from many goroutines at once, several times: each
// gets what the source held when it called, and the source is read a few times.
func TestReloadSeesWhatWasThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, reads := filepath.Join(dir, "keyring.json"), filepath.Join(dir, "reads")
	ring := newRing(t, 1)
	put(t, path, encode(t, ring))
	program := script(t, "echo >> "+reads, "cat "+path)
	l, err := keyring.Open(t.Context(), keyring.Config{Source: keyring.Command{program}})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for seed := range byte(3) {
		ring = with(t, ring, 10+seed, when, time.Time{})
		put(t, path, encode(t, ring))
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				if err := l.Reload(t.Context()); err != nil || !l.Current().Has(ring.IDs()[len(ring.IDs())-1]) {
					t.Errorf("reload gives %v, %v", l.Current(), err)
				}
			})
		}
		wg.Wait()
	}
	b, err := os.ReadFile(reads)
	if err != nil {
		t.Fatal(err)
	}
	if most := 2 + int(time.Since(began)/time.Second); len(b) > most {
		t.Errorf("the source was read %d times in %v", len(b), time.Since(began))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
