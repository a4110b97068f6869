package sqlite_test

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// A store of the first schema, which the program of then has left, is brought
// up to date with all that is in it.
func TestOpenVersion1(t *testing.T) {
	dump, err := os.ReadFile("testdata/version1.sql")
	if err != nil {
		t.Fatal(err)
	}
	path := storePath(t)
	execSQL(t, path, string(dump))
	s := openStore(t, path)
	ctx := t.Context()
	now := t0.Add(3 * time.Second)
	hash := func(name string) store.Hash { return sha256.Sum256([]byte(name)) }
	id := func(name string) string { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String() }

	stats, err := s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// late has expired, but no sweep has seen it.
	want := &store.Stats{Active: 4, Expired: 1, Burned: 2, Deleted: 1, Bytes: int64(len("active" + "package" + "late" + "burning" + "shared"))}
	if d := cmp.Diff(want, stats); d != "" {
		t.Errorf("stats (-want +got):\n%s", d)
	}
	for owner, want := range map[string]int{"team": 6, "other": 2} {
		l, err := s.List(ctx, owner, store.Page{Number: 1, Limit: 10}, now)
		if err != nil || l.Total != want || len(l.Kubbis) != want {
			t.Errorf("list of %s: %+v, error %v, want %d", owner, l, err, want)
		}
	}
	for name, want := range map[string]store.Status{
		"late": store.Expired, "swept": store.Expired, "burning": store.Burned, "burned": store.Burned, "deleted": store.Deleted,
	} {
		owner := "team"
		if want == store.Expired {
			owner = "other"
		}
		if k, err := s.Get(ctx, owner, id(name), now); err != nil || k.Status != want {
			t.Errorf("%s: %+v, error %v", name, k, err)
		}
	}
	if _, err := s.Get(ctx, "team", id("removed"), now); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}

	// The graces hold.
	for _, c := range []struct {
		name, key string
		number    int
	}{{"burning", "burning", 1}, {"shared", "a", 1}, {"shared", "b", 2}, {"shared", "c", 3}} {
		got, err := s.Claim(ctx, hash("token "+c.name), &store.ClaimKey{Key: hash("claim " + c.key), Grace: time.Minute}, nil, now)
		if err != nil {
			t.Errorf("claim %s with key %s: %v", c.name, c.key, err)
			continue
		}
		if !got.Replay || got.Number != c.number || string(payload(t, got)) != "sealed "+c.name {
			t.Errorf("claim %s with key %s: replay %v, number %d", c.name, c.key, got.Replay, got.Number)
		}
	}
	key := &store.CreateKey{Key: hash("create active"), Request: hash("request active"), Grace: time.Minute}
	replay, err := s.Create(ctx, newKubbi(1), payloadOf([]byte("x")), key, store.Quota{}, now)
	if err != nil || replay == nil || replay.ID != id("active") || string(replay.Answer) != "answer" {
		t.Errorf("create again: %+v, error %v", replay, err)
	}
	pkg, err := s.Inspect(ctx, hash("token package"), now)
	if err != nil || len(pkg.Files) != 1 || pkg.Files[0].Name != "a.txt" || string(pkg.Metadata) != `{"name":"package"}` || pkg.Notify != nil {
		t.Errorf("package: %+v, error %v", pkg, err)
	}

	// What is counted by now counts: other's one kubbi has expired, team has three.
	for owner, full := range map[string]int{"other": 0, "team": 3} {
		k := newKubbi(1)
		k.Owner = owner
		if _, err := s.Create(ctx, k, payloadOf([]byte("x")), nil, store.Quota{Active: max(1, full)}, now); errors.Is(err, store.ErrActiveQuota) != (full > 0) {
			t.Errorf("create for %s: %v", owner, err)
		}
	}
	keys, err := s.APIKeys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]store.APIKey{
		{Hash: hash("key"), Owner: "team", Label: "laptop", CreatedAt: t0},
		{Hash: hash("revoked key"), Owner: "other", CreatedAt: t0, RevokedAt: t0.Add(time.Second)},
	}, keys); d != "" {
		t.Errorf("api keys (-want +got):\n%s", d)
	}

	// And all of it ends.
	end := t0.Add(2 * time.Hour)
	if _, err := s.Sweep(ctx, end, 24*time.Hour, 1000); err != nil {
		t.Fatal(err)
	}
	stats, err = s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&store.Stats{Expired: 6, Burned: 2, Deleted: 1}, stats); d != "" {
		t.Errorf("stats at the end (-want +got):\n%s", d)
	}
	if ids, err := s.MasterKeys(ctx); err != nil || len(ids) != 0 {
		t.Errorf("master keys %q, error %v", ids, err)
	}
}

// A program of the version before that still has the file open does not go on
// to write what would make the sums wrong.
func TestVersion1StillOpen(t *testing.T) {
	path := storePath(t)
	openStore(t, path)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, old := range []string{
		"SELECT seq, status, sealed FROM kubbi",
		"UPDATE counter SET next = 9",
		"INSERT INTO tally (kind, name, n) VALUES (0, 'o', 1) ON CONFLICT DO UPDATE SET n = n + excluded.n",
	} {
		if _, err := db.ExecContext(t.Context(), old); err == nil {
			t.Errorf("%s: works", old)
		}
	}
}

// So will this version's be told, by the next one.
func TestSchemaChangesMeanwhile(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	k := newKubbi(1)
	if _, err := s.Create(t.Context(), k, payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
		t.Fatal(err)
	}
	execSQL(t, path, "ALTER TABLE kubbi RENAME COLUMN payload TO content")
	if _, err := s.Inspect(t.Context(), k.Token, t0); !errors.Is(err, sqlite.ErrNewer) {
		t.Errorf("inspect: %v", err)
	}
	if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); !errors.Is(err, sqlite.ErrNewer) {
		t.Errorf("claim: %v", err)
	}
}

func payload(t *testing.T, c *store.Claimed) []byte {
	t.Helper()
	var all []byte
	for chunk, err := range c.Payload {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, chunk.Sealed...)
	}
	return all
}
