package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// childEnv makes the test binary run one of the programs below. Its value is the
// program's name, a space, and the path of the store.
const childEnv = "KUBBI_STORE_CHILD"

func TestMain(m *testing.M) {
	name, path, ok := strings.Cut(os.Getenv(childEnv), " ")
	if !ok {
		goleak.VerifyTestMain(m)
		return
	}
	program := map[string]func(path string, args []string) error{
		"open":   childOpen,
		"race":   childRace,
		"stream": childStream,
		"pairs":  childPairs,
	}[name]
	if err := program(path, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2) // 1 is what killing gives on Windows
	}
}

// child is the command that runs a program on a store.
func child(t testing.TB, name, path string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+name+" "+path)
	return cmd
}

// newKubbi is made at t0 for owner "local".
func newKubbi(maxRetrievals int) *store.Kubbi {
	k := benchKubbi()
	k.MasterKey, k.MaxRetrievals = "key-1", maxRetrievals
	return k
}

func bytesOf(b []byte) io.Reader { return bytes.NewReader(b) }

// childOpen opens the store and makes one kubbi.
func childOpen(path string, _ []string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	if _, err := s.Create(ctx, newKubbi(1), bytesOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
		return err
	}
	return s.Close()
}

// childRace claims the kubbi of the token in args[0] 32 times at once when stdin ends,
// and prints how many claims succeeded.
func childRace(path string, args []string) error {
	ctx := context.Background()
	token, err := parseToken(args[0])
	if err != nil {
		return err
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	var won atomic.Int32
	errs := make(chan error, 32)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			var key *store.ClaimKey
			if i%2 == 0 {
				key = &store.ClaimKey{Key: randomHash(), Grace: time.Minute}
			}
			_, err := s.Claim(ctx, token, key, nil, t0)
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, store.ErrBurned) {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		return err
	}
	fmt.Println(won.Load())
	return s.Close()
}

// event is a line of childStream: a step before or after it is done.
type event struct {
	Event string // "created", "claiming", "claimed", "releasing", "released"
	Token string
	Key   string // of the claim, empty for one without
}

// childStream creates and claims until it is killed, in several goroutines, and prints
// each step. args[0] is written into every payload.
func childStream(path string, args []string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	tell := func(e event) error {
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		_, err = os.Stdout.Write(append(b, '\n'))
		return err
	}
	errs := make(chan error)
	for g := range 4 {
		go func() {
			for i := g; ; i++ {
				k := newKubbi(1)
				e := event{Token: tokenText(k.Token)}
				if _, err := s.Create(ctx, k, streamPayload(e.Token), nil, store.Quota{}, t0); err != nil {
					errs <- err
					return
				}
				e.Event = "created"
				if err := tell(e); err != nil {
					errs <- err
					return
				}
				if i%4 == 0 {
					continue // never claimed
				}
				var key *store.ClaimKey
				if i%4 > 1 {
					key = &store.ClaimKey{Key: randomHash(), Grace: time.Hour}
					e.Key = hex.EncodeToString(key.Key[:])
				}
				for _, step := range []struct {
					before, after string
					do            func() error
				}{
					{"claiming", "claimed", func() error { _, err := s.Claim(ctx, k.Token, key, nil, t0); return err }},
					{"releasing", "released", func() error { return s.Release(ctx, k.Token, key.Key, t0) }},
				} {
					if step.before == "releasing" && i%4 != 3 {
						continue
					}
					e.Event = step.before
					if err := tell(e); err != nil {
						errs <- err
						return
					}
					if err := step.do(); err != nil {
						errs <- err
						return
					}
					e.Event = step.after
					if err := tell(e); err != nil {
						errs <- err
						return
					}
				}
			}
		}()
	}
	return <-errs
}

// streamPayload names the token, and every third one is long enough for a file.
func streamPayload(token string) io.Reader {
	n := 200
	if token[len(token)-1]%3 == 0 {
		n = 2000
	}
	return strings.NewReader(strings.Repeat(token, n))
}

// childPairs does args[0] creates and claims in args[1] goroutines and prints
// how long each pair took, in microseconds.
func childPairs(path string, args []string) error {
	ctx := context.Background()
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	callers, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	sealed := make([]byte, 1024+40)
	took := make([]time.Duration, n)
	var next atomic.Int64
	errs := make(chan error, callers)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				start := time.Now()
				token, err := benchCreate(ctx, s, sealed)
				if err == nil {
					_, err = s.Claim(ctx, token, nil, nil, t0)
				}
				if err != nil {
					errs <- err
					return
				}
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		return err
	}
	w := bufio.NewWriter(os.Stdout)
	for _, d := range took {
		fmt.Fprintln(w, d.Microseconds())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return s.Close()
}

func parseHash(s string) (h store.Hash, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("not a hash: %q", s)
	}
	return store.Hash(b), nil
}

// tokenText is a store.Token in one word.
func tokenText(t store.Token) string { return fmt.Sprintf("%d-%x", t.Number, t.Hash) }

func parseToken(s string) (t store.Token, err error) {
	number, hash, _ := strings.Cut(s, "-")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return t, err
	}
	t.Number = store.Number(n)
	t.Hash, err = parseHash(hash)
	return t, err
}

func storePath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "kubbi.db")
}
