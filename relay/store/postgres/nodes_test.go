//go:build unix

package postgres_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/postgres"
)

var t0 = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

func randomHash() (h store.Hash) {
	_, _ = rand.Read(h[:])
	return h
}

var numbers store.Numbers

// newKubbi is a kubbi with the fields that the relay sets.
func newKubbi(owner string, reads int) *store.Kubbi {
	n, err := numbers.Next(t0, rand.Reader)
	if err != nil {
		panic(err)
	}
	id, err := n.ID(rand.Reader)
	if err != nil {
		panic(err)
	}
	return &store.Kubbi{
		ID: id, Owner: owner, Token: store.Token{Number: n, Hash: randomHash()}, MasterKey: "0123456789abcdef",
		Secret: store.Secret(randomHash()), ContentType: "text/plain",
		Size: 1024, Record: make([]byte, 200), MaxRetrievals: reads, CreatedAt: t0, ExpiresAt: t0.Add(time.Hour),
	}
}

func payloadOf(b []byte) io.Reader { return bytes.NewReader(b) }

func TestNodesStartTogether(t *testing.T) {
	url := cluster.Schema(t)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			s, err := postgres.Open(t.Context(), postgres.Config{URL: url + "&pool_max_conns=2"})
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			defer s.Close()
			if _, err := s.Create(t.Context(), newKubbi("team", 1), payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
				t.Errorf("create: %v", err)
			}
		})
	}
	wg.Wait()
	l, err := openStore(t, url).List(t.Context(), "team", store.Page{Number: 1, Limit: 10}, t0)
	if err != nil || l.Total != 5 {
		t.Errorf("%+v, error %v", l, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	url := cluster.Schema(t)
	if _, err := postgres.Open(t.Context(), postgres.Config{URL: url, Existing: true}); !errors.Is(err, postgres.ErrNoTables) {
		t.Errorf("without tables: %v", err)
	}
	openStore(t, url)
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url, Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	run(t, url, "INSERT INTO kubbi_schema (version_id, is_applied) VALUES (99, true)")
	if _, err := postgres.Open(t.Context(), postgres.Config{URL: url}); !errors.Is(err, store.ErrNewer) {
		t.Errorf("of a newer program: %v", err)
	}
	for _, bad := range []string{"", "postgres://u:geheim@host:notaport/x", "postgres://u:geheim@[::1/x", "postgres://u:geheim@h/x?sslmode=geheim"} {
		_, err := postgres.Open(t.Context(), postgres.Config{URL: bad})
		if !errors.Is(err, postgres.ErrURL) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err = postgres.Open(t.Context(), postgres.Config{URL: strings.Replace(url, "kubbi@", "kubbi:geheim@", 1) + "&dbname=nowhere"})
	if err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("no such data base: %v", err)
	}
}

// run runs a statement in a test's data base.
func run(t testing.TB, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// TestAsynchronousServer has a server that would lose acknowledged changes.
func TestAsynchronousServer(t *testing.T) {
	url := cluster.Database(t)
	name := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
	cluster.Exec(t, "ALTER DATABASE "+name+" SET synchronous_commit = off")
	s := openStore(t, url)
	if got := s.Setting(t, "synchronous_commit"); got != "on" {
		t.Errorf("synchronous_commit is %q", got)
	}
}

// TestListsWhileNodesCreate reads lists while other nodes create and sweep: the pages of
// a list must not change while it is read.
func TestListsWhileNodesCreate(t *testing.T) {
	url := cluster.Schema(t)
	nodes := []*postgres.Store{openStore(t, url), openStore(t, url), openStore(t, url)}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				k := newKubbi("team", 1)
				if _, err := nodes[i%3].Create(t.Context(), k, payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
					t.Errorf("create: %v", err)
					return
				}
				if n%3 == 0 {
					if _, err := nodes[i%3].Delete(t.Context(), "team", k.ID, t0); err != nil {
						t.Errorf("delete: %v", err)
						return
					}
				}
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := nodes[0].Sweep(t.Context(), t0.Add(time.Second), 0, 5); err != nil {
				t.Errorf("sweep: %v", err)
				return
			}
		}
	})
	for range 40 {
		first, err := nodes[1].List(t.Context(), "team", store.Page{Number: 1, Limit: 1000}, t0)
		if err != nil {
			t.Fatal(err)
		}
		again, err := nodes[2].List(t.Context(), "team", store.Page{Number: 1, Limit: 1000, Anchor: first.Anchor}, t0)
		if err != nil {
			t.Fatal(err)
		}
		if again.Total > first.Total+6 { // creates that were under way
			t.Errorf("total %d, then %d", first.Total, again.Total)
		}
		for i, k := range again.Kubbis {
			if k.Token.Number >= first.Anchor.Newest || i > 0 && k.Token.Number >= again.Kubbis[i-1].Token.Number {
				t.Errorf("kubbi %d of a page that had been read has number %d, below %d", i, k.Token.Number, first.Anchor.Newest)
			}
		}
	}
	stop()
	wg.Wait()
}

// TestKeyOfLargeCreates races large payloads with one key: they are sent before it is
// known which create gets the key.
func TestKeyOfLargeCreates(t *testing.T) {
	url := cluster.Schema(t)
	nodes := []*postgres.Store{openStore(t, url), openStore(t, url)}
	key := &store.CreateKey{Key: randomHash(), Request: randomHash(), Answer: []byte("answer"), Grace: time.Minute}
	big := make([]byte, 3<<20)
	var made, replayed atomic.Int32
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			replay, err := nodes[i%2].Create(t.Context(), newKubbi("team", 1), payloadOf(big), key, store.Quota{}, t0)
			switch {
			case err != nil:
				t.Errorf("create: %v", err)
			case replay == nil:
				made.Add(1)
			default:
				replayed.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || replayed.Load() != 5 {
		t.Errorf("%d made, %d replayed", made.Load(), replayed.Load())
	}
	if l, err := nodes[0].List(t.Context(), "team", store.Page{Number: 1, Limit: 10}, t0); err != nil || l.Total != 1 {
		t.Errorf("%+v, error %v", l, err)
	}
	if n := nodes[0].Count(t, "chunks"); n != 3 {
		t.Errorf("%d chunks", n)
	}
}

// TestPieces has payloads that end where a piece ends, from readers that return their
// last bytes with io.EOF, and one byte at a time.
func TestPieces(t *testing.T) {
	s := openStore(t, cluster.Schema(t))
	whole := make([]byte, 6<<20)
	_, _ = rand.Read(whole)
	for _, size := range []int{0, 1, store.MaxInRow, store.MaxInRow + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 2 << 20, 2<<20 + 1, 4 << 20, 6 << 20} {
		for name, from := range map[string]func(io.Reader) io.Reader{
			"plain": func(r io.Reader) io.Reader { return r }, "with EOF": iotest.DataErrReader, "halves": iotest.HalfReader,
		} {
			k := newKubbi("team", 1)
			k.Size = int64(size)
			if _, err := s.Create(t.Context(), k, from(bytes.NewReader(whole[:size])), nil, store.Quota{}, t0); err != nil {
				t.Fatal(err)
			}
			c, err := s.Claim(t.Context(), k.Token, nil, nil, t0)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c.Payload); err != nil || !bytes.Equal(got, whole[:size]) {
				t.Errorf("%d bytes, %s: %d came back, error %v", size, name, len(got), err)
			}
			if err := c.Payload.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestMissingPayload removes rows of payloads beside the store.
func TestMissingPayload(t *testing.T) {
	url := cluster.Schema(t)
	s := openStore(t, url)
	for size, take := range map[int]string{10: "UPDATE kubbis SET payload = NULL", 3 << 20: "DELETE FROM chunks WHERE ordinal = 1"} {
		k := newKubbi("team", 2)
		if _, err := s.Create(t.Context(), k, payloadOf(make([]byte, size)), nil, store.Quota{}, t0); err != nil {
			t.Fatal(err)
		}
		run(t, url, take)
		for _, key := range []*store.ClaimKey{nil, {Key: randomHash(), Grace: time.Minute}} {
			if _, err := s.Claim(t.Context(), k.Token, key, nil, t0); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		if got, err := s.Get(t.Context(), "team", k.ID, t0); err != nil || got.Retrievals != 0 {
			t.Errorf("%+v, error %v", got, err)
		}
	}
}

// TestWipe checks that a wipe leaves nothing in the tables.
func TestWipe(t *testing.T) {
	url := cluster.Schema(t)
	s := openStore(t, url)
	big := make([]byte, 3<<20)
	for name, end := range map[string]func(k *store.Kubbi) error{
		"burned": func(k *store.Kubbi) error {
			_, err := s.Claim(t.Context(), k.Token, nil, nil, t0)
			return err
		},
		"deleted": func(k *store.Kubbi) error {
			_, err := s.Delete(t.Context(), "team", k.ID, t0)
			return err
		},
		"expired": func(*store.Kubbi) error {
			_, err := s.Sweep(t.Context(), t0.Add(time.Hour), 24*time.Hour, 10)
			return err
		},
	} {
		k := newKubbi("team", 1)
		k.Package, k.FileCount, k.Notify = true, 2, []byte("whom")
		if _, err := s.Create(t.Context(), k, payloadOf(big), nil, store.Quota{}, t0); err != nil {
			t.Fatal(err)
		}
		if n := s.Count(t, "chunks"); n != 3 {
			t.Errorf("%s: %d chunks before", name, n)
		}
		if err := end(k); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.Count(t, "chunks"); n != 0 {
			t.Errorf("%s: %d chunks are left", name, n)
		}
		if n := s.Count(t, "kubbis WHERE secret IS NOT NULL OR record IS NOT NULL OR notify IS NOT NULL OR payload IS NOT NULL"); n != 0 {
			t.Errorf("%s: the row keeps what it must not", name)
		}
	}
	if n := s.Count(t, "pg_class WHERE oid = 'chunks'::regclass AND 'autovacuum_vacuum_threshold=50' = ANY(reloptions)"); n != 1 {
		t.Error("the table chunks is not vacuumed often")
	}
}

// TestErrorsQuoteNothing causes an error of the server that quotes a value.
func TestErrorsQuoteNothing(t *testing.T) {
	s := openStore(t, cluster.Schema(t))
	err := s.PutAPIKey(t.Context(), store.APIKey{Hash: randomHash(), Owner: "team", Label: "geheim\x00", CreatedAt: t0})
	if err == nil || strings.Contains(err.Error(), "geheim") || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

// TestDamagedNotice checks that a damaged notice does not block the others.
func TestDamagedNotice(t *testing.T) {
	s := openStore(t, cluster.Schema(t))
	for range 2 {
		k := newKubbi("team", 0)
		k.Notify = []byte("sealed")
		if _, err := s.Create(t.Context(), k, payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); err != nil {
			t.Fatal(err)
		}
	}
	s.Exec(t, "UPDATE notices SET kubbi = '{' WHERE id = (SELECT id FROM notices LIMIT 1)")
	if found, err := s.Notices(t.Context(), t0, time.Minute, 10); err != nil || len(found) != 1 {
		t.Errorf("%d notices, error %v", len(found), err)
	}
}
