// Package storetest is the conformance suite of store.Store: it has a case for
// every sentence of the interface's comments. A backend's whole test is a call
// of Run and what only that backend can do.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
)

// Open opens a Store on a place that a test has to itself. Called again, before
// or after Close, it opens another Store on the same data. It closes what it
// opened when the test ends.
type Open func(t *testing.T) store.Store

// Run runs the suite. place is called once for each test and gives an empty
// place.
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
		{"Sweep", sweeps},
		{"MasterKeys", masterKeys},
		{"APIKey", apiKeys},
		{"Notice", notices},
		{"Take", takes},
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

// hash gives a different Hash for every name.
func hash(name string, n ...int) store.Hash {
	return sha256.Sum256(fmt.Appendf(nil, "%s %v", name, n))
}

// kubbi is a single content by owner, made at t0, that no other kubbi of the
// test is like.
func (f *fixture) kubbi(change ...func(*store.Kubbi)) *store.Kubbi {
	f.n++
	k := &store.Kubbi{
		ID:          uuid.NewSHA1(uuid.NameSpaceOID, []byte{byte(f.n), byte(f.n >> 8), byte(f.n >> 16)}).String(),
		Owner:       owner,
		Token:       hash("token", f.n),
		MasterKey:   "key-1",
		ContentType: "text/plain",
		Size:        int64(f.n),
		Metadata:    fmt.Appendf(nil, `{"n":%d}`, f.n),
		CreatedAt:   t0,
		ExpiresAt:   t0.Add(ttl),
	}
	for _, c := range change {
		c(k)
	}
	return k
}

func limit(n int) func(*store.Kubbi) {
	return func(k *store.Kubbi) { k.MaxRetrievals = n }
}

// packaged makes a package of two files.
func packaged(k *store.Kubbi) {
	k.Package, k.ContentType = true, ""
	k.Files = []store.File{
		{Name: "a.txt", ContentType: "text/plain", Role: "data", Size: 3},
		{Name: "b.bin", ContentType: "application/octet-stream", Encoding: "base64", Size: 5},
	}
	k.FileCount = 2
}

// chunks is a payload of the given pieces, all of part 0.
func chunks(pieces ...string) store.Chunks {
	var list []store.Chunk
	for i, p := range pieces {
		list = append(list, store.Chunk{Index: i, Sealed: []byte(p)})
	}
	return sequence(list)
}

func sequence(list []store.Chunk) store.Chunks {
	return func(yield func(store.Chunk, error) bool) {
		for _, c := range list {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// put creates k with the payload "sealed <id>".
func (f *fixture) put(k *store.Kubbi) *store.Kubbi {
	f.Helper()
	f.create(k, chunks(sealed(k)), nil)
	return k
}

func sealed(k *store.Kubbi) string { return "sealed " + k.ID }

func (f *fixture) create(k *store.Kubbi, payload store.Chunks, key *store.CreateKey) {
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

// claim claims, wants success, and reads the payload.
func (f *fixture) claim(k *store.Kubbi, key *store.ClaimKey, now time.Time) (*store.Claimed, string) {
	f.Helper()
	c, err := f.s.Claim(f.Context(), k.Token, key, nil, now)
	if err != nil {
		f.Fatalf("claim: %v", err)
	}
	return c, f.payload(c)
}

// payload reads what a claim gave, as "part.index=bytes" joined by spaces if
// it is not just one chunk.
func (f *fixture) payload(c *store.Claimed) string {
	f.Helper()
	var got []string
	for chunk, err := range c.Payload {
		if err != nil {
			f.Fatalf("payload: %v", err)
		}
		got = append(got, fmt.Sprintf("%d.%d=%s", chunk.Part, chunk.Index, chunk.Sealed))
	}
	if len(got) == 1 {
		return strings.TrimPrefix(got[0], "0.0=")
	}
	return strings.Join(got, " ")
}

// claimFails wants a claim to fail with an error.
func (f *fixture) claimFails(k *store.Kubbi, key *store.ClaimKey, now time.Time, want error) {
	f.Helper()
	if c, err := f.s.Claim(f.Context(), k.Token, key, nil, now); !errors.Is(err, want) || c != nil {
		f.Fatalf("claim gave %v and error %v, want %v", c, err, want)
	}
}

// claimFailsNot wants a claim to fail, and not with an error.
func (f *fixture) claimFailsNot(k *store.Kubbi, key *store.ClaimKey, now time.Time, not error) {
	f.Helper()
	if c, err := f.s.Claim(f.Context(), k.Token, key, nil, now); err == nil || errors.Is(err, not) || c != nil {
		f.Fatalf("claim gave %v and error %v", c, err)
	}
}

// releaseFails wants a release to fail with an error.
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

// tombstone is k as it ends.
func tombstone(k *store.Kubbi, status store.Status, ended time.Time) *store.Kubbi {
	dead := *k
	dead.Files, dead.Metadata = nil, nil
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

func repeat(b byte, n int) string { return string(bytes.Repeat([]byte{b}, n)) }
