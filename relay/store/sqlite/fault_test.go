package sqlite_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	engine "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// rawConn is a connection beside the store.
func rawConn(t *testing.T, path string) *engine.Conn {
	t.Helper()
	c, err := engine.OpenConn(path, engine.OpenReadWrite|engine.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func execute(t *testing.T, c *engine.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := sqlitex.ExecuteTransient(c, s, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// execSQL changes the data base beside the store.
func execSQL(t *testing.T, path string, statements ...string) {
	t.Helper()
	c, err := engine.OpenConn(path, engine.OpenReadWrite|engine.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, c, statements...)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func execTransient(c *engine.Conn, statement string) error {
	return sqlitex.ExecuteTransient(c, statement, nil)
}

// queryInt reads an integer beside the store.
func queryInt(t *testing.T, path, query string) (n int64) {
	t.Helper()
	if err := sqlitex.ExecuteTransient(rawConn(t, path), query, &sqlitex.ExecOptions{ResultFunc: func(s *engine.Stmt) error {
		n = s.ColumnInt64(0)
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	return n
}

// createSome creates kubbis.
func createSome(t *testing.T, s *sqlite.Store, n int) (all []*store.Kubbi) {
	t.Helper()
	for range n {
		k := newKubbi(1)
		if _, err := s.Create(t.Context(), k, bytesOf(bytes.Repeat([]byte("x"), 3000)), nil, store.Quota{}, t0); err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	return all
}

// filled is a closed store with a few kubbis.
func filled(t *testing.T, n int) (string, []*store.Kubbi) {
	t.Helper()
	path := storePath(t)
	s := openStore(t, path)
	all := createSome(t, s, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, all
}

// openFails checks that Open fails with an error that names the file, and leaves the file
// as it is.
func openFails(t *testing.T, path string, want error, words ...string) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err == nil {
		s.Close()
		t.Fatal("it opens")
	}
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	for _, w := range append(words, path) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, error %v", err)
	}
}

func TestOpenNewer(t *testing.T) {
	path, _ := filled(t, 1)
	execSQL(t, path, "PRAGMA user_version = 99")
	openFails(t, path, store.ErrNewer, "99", "newer program")
}

func TestOpenGarbage(t *testing.T) {
	path := storePath(t)
	b := make([]byte, 10000)
	rand.Read(b)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	openFails(t, path, sqlite.ErrCorrupt, "backup")
}

func TestOpenDamagedHeader(t *testing.T) {
	path, _ := filled(t, 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[16:], make([]byte, 30))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	openFails(t, path, sqlite.ErrCorrupt, "backup")
}

func TestOpenForeign(t *testing.T) {
	path := storePath(t)
	execSQL(t, path, "CREATE TABLE precious (x)", "INSERT INTO precious VALUES ('keep')")
	openFails(t, path, sqlite.ErrCorrupt, "another program")
}

func TestOpenNoDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "kubbi.db")
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); !errors.Is(err, sqlite.ErrCannotOpen) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{}); err == nil {
		t.Error("no path, no error")
	}
}

// Damage that is found later gives the same error, and only in the calls that find it.
func TestDamageMetLater(t *testing.T) {
	path, all := filled(t, 500)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	// All but the first pages, which hold the schema.
	junk := bytes.Repeat([]byte{0xa5}, 4096)
	for off := int64(32 * 4096); off < info.Size(); off += 4096 {
		if _, err := f.WriteAt(junk, off); err != nil {
			t.Fatal(err)
		}
	}
	s := openStore(t, path)
	met := 0
	for _, k := range all {
		_, err := s.Claim(t.Context(), k.Token, nil, nil, t0)
		if errors.Is(err, sqlite.ErrCorrupt) && strings.Contains(err.Error(), path) {
			met++
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("error %v", err)
		}
	}
	if met == 0 {
		t.Error("nobody noticed")
	}
}

// A claim key that is not one, in a damaged file, is swept like any other.
func TestDamagedClaimKey(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	execSQL(t, path, "INSERT INTO grace (kubbi, key, until, number, at) VALUES (7, x'0102', 0, 1, 0)")
	for range 2 {
		if _, err := s.Sweep(t.Context(), t0, time.Hour, 10); err != nil {
			t.Fatal(err)
		}
	}
	if n := queryInt(t, path, "SELECT count(*) FROM grace"); n != 0 {
		t.Errorf("%d claim keys are left", n)
	}
}

// A damaged notice does not block the others.
func TestDamagedNotice(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	for range 2 {
		k := newKubbi(0)
		k.Notify = []byte("sealed")
		put(t, s, k, 1)
		if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); err != nil {
			t.Fatal(err)
		}
	}
	execSQL(t, path, "UPDATE notice SET kubbi = x'7b' WHERE seq = (SELECT min(seq) FROM notice)")
	if found, err := s.Notices(t.Context(), t0, time.Minute, 10); err != nil || len(found) != 1 {
		t.Errorf("%d notices, error %v", len(found), err)
	}
}
