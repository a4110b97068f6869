package sqlite_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// leftRunning copies the files of an open store, as a killed process leaves them.
func leftRunning(t *testing.T, n int) (string, []*store.Kubbi) {
	t.Helper()
	path := storePath(t)
	s := openStore(t, path)
	all := createSome(t, s, n)
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(filepath.Dir(path))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(copied, "kubbi.db-shm")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(copied, "kubbi.db"), all
}

// A changed byte in the log must not silently drop the changes after it.
func TestDamagedLog(t *testing.T) {
	path, all := leftRunning(t, 30)
	whole, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 5, 17, 25, 32 + 5, 32 + 9, 32 + 24 + 4000, 32 + 3*(24+4096) + 100} {
		b := bytes.Clone(whole)
		b[at] ^= 0x10
		if err := os.WriteFile(path+"-wal", b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		if !errors.Is(err, sqlite.ErrCorrupt) || !strings.Contains(err.Error(), "kubbi.db-wal is damaged") {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	if err := os.WriteFile(path+"-wal", whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, path)
	for _, k := range all {
		if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); err != nil {
			t.Fatal(err)
		}
	}
}

// An unfinished transaction at the end of the log is no damage.
func TestTornLog(t *testing.T) {
	path, all := leftRunning(t, 30)
	whole, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{1, 100, 9000} {
		if err := os.WriteFile(path+"-wal", whole[:len(whole)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, path)
		if _, err := s.Inspect(t.Context(), all[0].Token, t0); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// If the data base or the file of secrets is missing while the rest is there, it is lost,
// and Open makes nothing new beside the rest.
func TestLost(t *testing.T) {
	for name, left := range map[string]string{"kubbi.db": "kubbi.slots", "kubbi.slots": "kubbi.db"} {
		path, _ := leftRunning(t, 1)
		gone := filepath.Join(filepath.Dir(path), name)
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
		_, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		if !errors.Is(err, sqlite.ErrLost) {
			t.Errorf("without %s: %v", name, err)
			continue
		}
		for _, w := range []string{name, left, "restore " + name + " from a backup", "start afresh"} {
			if !strings.Contains(err.Error(), w) && !(w == left && strings.Contains(err.Error(), "-wal")) {
				t.Errorf("error %q does not say %q", err, w)
			}
		}
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s was made again", name)
		}
	}
	// The slots of another store are refused.
	path, _ := leftRunning(t, 1)
	other, _ := leftRunning(t, 1)
	b, err := os.ReadFile(strings.TrimSuffix(other, ".db") + ".slots")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimSuffix(path, ".db")+".slots", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); !errors.Is(err, sqlite.ErrLost) {
		t.Errorf("with another store's slots: %v", err)
	}
}
