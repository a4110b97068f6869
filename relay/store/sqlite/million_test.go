package sqlite_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	engine "zombiezen.com/go/sqlite"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/store"
)

// The last page of a long list costs hardly more than the first, since the list is read
// from its nearer end. The test writes the rows beside the store, which is a minute
// faster than one by one.
func TestLastPage(t *testing.T) {
	testkit.OnlyPlain(t, "one request at a time")
	const n = 300_000 // a million takes as long a time for each page
	path := storePath(t)
	if err := openStore(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, path, n)
	s := openStore(t, path)
	page := func(number int) (*store.Listed, time.Duration) {
		took := make([]time.Duration, 0, 25)
		var l *store.Listed
		for range cap(took) {
			start := time.Now()
			var err error
			if l, err = s.List(t.Context(), "local", store.Page{Number: number, Limit: 20}, t0); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		return l, took[len(took)/4]
	}
	first, one := page(1)
	last, all := page(n / 20)
	if first.Total != n || last.Total != n || len(first.Kubbis) != 20 || len(last.Kubbis) != 20 {
		t.Fatalf("%d and %d of %d and %d", len(first.Kubbis), len(last.Kubbis), first.Total, last.Total)
	}
	if got := last.Kubbis[19].Token.Number; got != store.NumberAt(t0)+1 {
		t.Errorf("the last one has the number %d", got-store.NumberAt(t0))
	}
	t.Logf("first page %v, last page %v", one, all)
	if all > 3*one {
		t.Errorf("the last page takes %v, the first %v", all, one)
	}
}

// fill writes n kubbis that are deleted.
func fill(t *testing.T, path string, n int) {
	t.Helper()
	c, err := engine.OpenConn(path, engine.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, c, "PRAGMA synchronous=OFF", "BEGIN")
	random := bytes.Repeat([]byte{7}, 1<<10)
	for i := 1; i <= n; i++ {
		number := store.NumberAt(t0) + store.Number(i)
		id, err := number.ID(bytes.NewReader(random))
		if err != nil {
			t.Fatal(err)
		}
		u, _, err := store.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Prepare(`INSERT INTO kubbi (number, due, status, retrievals, ended_at, grace_more, created_at, expires_at, max_retrievals, package,
			file_count, size, quota, hash, id, owner, master_key, content_type) VALUES (?1, ?2 - (1 << 62), 3, 0, ?2, 0, ?2, ?2, 1, 0, 0, 1, 0, zeroblob(32), ?3, 'local', 'k', 't')`)
		if err != nil {
			t.Fatal(err)
		}
		s.BindInt64(1, int64(number))
		s.BindInt64(2, t0.UnixMilli())
		s.BindBytes(3, u[:])
		if _, err := s.Step(); err != nil {
			t.Fatal(err)
		}
		if err := s.Reset(); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, c, fmt.Sprintf("INSERT INTO total VALUES (0, 'local', %d, 0, 0, 0, 0, %[1]d, 0, 0)", n), "COMMIT")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() < int64(n) {
		t.Fatalf("%v, error %v", info, err)
	}
}
