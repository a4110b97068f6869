// Package storetest is the conformance suite of store.Store: it has a case for
// every sentence of the interface's comments. A backend's tests are a call of Run and
// tests of what only that backend can do.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/relay/store"
)

// Open opens a Store on a place that only this test uses. Called again, before or after
// Close, it opens another Store on the same data. It closes its Stores when the test
// ends.
type Open func(t *testing.T) store.Store

// Run runs the suite. It calls place once for each test, which returns an empty place.
func Run(t *testing.T, place func(t *testing.T) Open) {
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"Create", creates},
		{"CreateKey", createKeys},
		{"Quota", quotas},
		{"Inspect", inspects},
		{"Claim", claims},
		{"ClaimKey", claimKeys},
		{"Release", releases},
		{"Get", gets},
		{"List", lists},
		{"Delete", deletes},
		{"States", states},
		{"Sweep", sweeps},
		{"MasterKeys", masterKeys},
		{"APIKey", apiKeys},
		{"Notice", notices},
		{"CountUses", countsUses},
		{"Stats", statistics},
		{"Context", contexts},
		{"Life", lives},
		{"Race", races},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					open := place(t)
					c.run(&fixture{T: t, s: open(t), open: open})
				})
			}
		})
	}
}

type testCase struct {
	name string
	run  func(*fixture)
}

// fixture is a test with its store.
type fixture struct {
	*testing.T
	s    store.Store
	open Open
	n    int
}

const (
	owner  = "owner-a"
	other  = "owner-b"
	ttl    = time.Hour
	grace  = time.Minute
	retain = 24 * time.Hour
)

// t0 is when most kubbis are made; at gives times after it.
var t0 = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

// hash is a different Hash for every name.
func hash(name string, n ...int) store.Hash {
	return sha256.Sum256(fmt.Appendf(nil, "%s %v", name, n))
}

// kubbi is a single content by owner, made at t0, different from all other kubbis of the
// test.
func (f *fixture) kubbi(change ...func(*store.Kubbi)) *store.Kubbi {
	f.n++
	k := &store.Kubbi{
		Owner:       owner,
		MasterKey:   "key-1",
		Secret:      store.Secret(hash("secret", f.n)),
		ContentType: "text/plain",
		Size:        int64(f.n),
		Record:      fmt.Appendf(nil, "sealed record \x00 %d", f.n),
		CreatedAt:   t0,
		ExpiresAt:   t0.Add(ttl),
	}
	for _, c := range change {
		c(k)
	}
	if k.Token == (store.Token{}) {
		k.Token = store.Token{Number: store.NumberAt(k.CreatedAt) + store.Number(f.n), Hash: hash("token", f.n)}
	}
	if k.ID == "" {
		k.ID = f.id(k.Token.Number)
	}
	return k
}

// id makes an id that no other kubbi of the test has.
func (f *fixture) id(n store.Number) string {
	f.Helper()
	random := hash("id", f.n)
	id, err := n.ID(bytes.NewReader(random[:]))
	if err != nil {
		f.Fatal(err)
	}
	return id
}

func limit(n int) func(*store.Kubbi) {
	return func(k *store.Kubbi) { k.MaxRetrievals = n }
}

// packaged makes a package of two files.
func packaged(k *store.Kubbi) {
	k.Package, k.ContentType, k.FileCount = true, "", 2
}

// bytesOf is a payload.
func bytesOf(payload string) io.Reader { return strings.NewReader(payload) }

// large is a payload of n bytes that is too long for a row. No two blocks of 4 KiB are
// equal.
func large(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>12 + i>>20)
	}
	return string(b)
}

// readerFunc is a payload with a Read of the test.
type readerFunc func(p []byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }

// failing is a payload that fails after some bytes.
func failing(after int, err error) io.Reader {
	return io.MultiReader(bytesOf(large(after)), readerFunc(func([]byte) (int, error) { return 0, err }))
}

// put creates k with the payload "sealed <id>".
func (f *fixture) put(k *store.Kubbi) *store.Kubbi {
	f.Helper()
	f.create(k, bytesOf(sealed(k)), nil)
	return k
}

func sealed(k *store.Kubbi) string { return "sealed " + k.ID }

func (f *fixture) create(k *store.Kubbi, payload io.Reader, key *store.CreateKey) {
	f.Helper()
	replay, err := f.s.Create(f.Context(), k, payload, key, store.Quota{}, k.CreatedAt)
	if err != nil {
		f.Fatalf("create: %v", err)
	}
	if replay != nil {
		f.Fatalf("create answered a replay: %+v", replay)
	}
}

func claimKey(name string) *store.ClaimKey {
	return &store.ClaimKey{Key: hash("claim " + name), Grace: grace}
}

// claim claims successfully, and reads the payload.
func (f *fixture) claim(k *store.Kubbi, key *store.ClaimKey, now time.Time) (*store.Claimed, string) {
	f.Helper()
	c, err := f.s.Claim(f.Context(), k.Token, key, nil, now)
	if err != nil {
		f.Fatalf("claim: %v", err)
	}
	return c, f.payload(c)
}

// payload reads the payload of a claim.
func (f *fixture) payload(c *store.Claimed) string {
	f.Helper()
	b, err := io.ReadAll(c.Payload)
	if err != nil {
		f.Fatalf("payload: %v", err)
	}
	if err := c.Payload.Close(); err != nil {
		f.Fatalf("close payload: %v", err)
	}
	return string(b)
}

// claimFails checks that a claim fails with an error.
func (f *fixture) claimFails(k *store.Kubbi, key *store.ClaimKey, now time.Time, want error) {
	f.Helper()
	if c, err := f.s.Claim(f.Context(), k.Token, key, nil, now); !errors.Is(err, want) || c != nil {
		f.Fatalf("claim gave %v and error %v, want %v", c, err, want)
	}
}

// claimFailsNot checks that a claim fails, but not with an error.
func (f *fixture) claimFailsNot(k *store.Kubbi, key *store.ClaimKey, now time.Time, not error) {
	f.Helper()
	if c, err := f.s.Claim(f.Context(), k.Token, key, nil, now); err == nil || errors.Is(err, not) || c != nil {
		f.Fatalf("claim gave %v and error %v", c, err)
	}
}

// releaseFails checks that a release fails with an error.
func (f *fixture) releaseFails(k *store.Kubbi, key *store.ClaimKey, now time.Time, want error) {
	f.Helper()
	if err := f.s.Release(f.Context(), k.Token, key.Key, now); !errors.Is(err, want) {
		f.Fatalf("release gave error %v, want %v", err, want)
	}
}

func (f *fixture) release(k *store.Kubbi, key *store.ClaimKey, now time.Time) {
	f.Helper()
	if err := f.s.Release(f.Context(), k.Token, key.Key, now); err != nil {
		f.Fatalf("release: %v", err)
	}
}

func (f *fixture) get(k *store.Kubbi, now time.Time) *store.Kubbi {
	f.Helper()
	got, err := f.s.Get(f.Context(), k.Owner, k.ID, now)
	if err != nil {
		f.Fatalf("get: %v", err)
	}
	return got
}

func (f *fixture) getFails(k *store.Kubbi, now time.Time, want error) {
	f.Helper()
	if _, err := f.s.Get(f.Context(), k.Owner, k.ID, now); !errors.Is(err, want) {
		f.Fatalf("get: %v, want %v", err, want)
	}
}

func (f *fixture) delete(k *store.Kubbi, now time.Time) *store.Kubbi {
	f.Helper()
	got, err := f.s.Delete(f.Context(), k.Owner, k.ID, now)
	if err != nil {
		f.Fatalf("delete: %v", err)
	}
	return got
}

func (f *fixture) sweep(now time.Time) store.Swept {
	f.Helper()
	swept, err := f.s.Sweep(f.Context(), now, retain, 1000)
	if err != nil {
		f.Fatalf("sweep: %v", err)
	}
	return swept
}

func (f *fixture) masterKeys(want ...string) {
	f.Helper()
	got, err := f.s.MasterKeys(f.Context())
	if err != nil {
		f.Fatalf("master keys: %v", err)
	}
	seen := map[string]bool{}
	for _, id := range got {
		if seen[id] {
			f.Errorf("master key %q is given twice", id)
		}
		seen[id] = true
	}
	for _, id := range want {
		if !seen[id] {
			f.Errorf("master keys are %q, want %q", got, want)
		}
	}
	if len(got) != len(want) {
		f.Errorf("master keys are %q, want %q", got, want)
	}
}

// tombstone is k after its end.
func tombstone(k *store.Kubbi, status store.Status, ended time.Time) *store.Kubbi {
	dead := *k
	dead.Secret, dead.Record = store.Secret{}, nil
	dead.Status, dead.EndedAt = status, ended
	return &dead
}

func (f *fixture) same(what string, want, got any) {
	f.Helper()
	if d := cmp.Diff(want, got); d != "" {
		f.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// cancelled is a context that has ended.
func (f *fixture) cancelled() context.Context {
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	return ctx
}
