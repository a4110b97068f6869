package sqlite_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/relay/store"
)

// holds names the files beside path that hold the bytes.
func holds(t *testing.T, path string, b []byte) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(filepath.Dir(path), func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the file of a payload that was removed meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		all, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(all, b) {
			found = append(found, filepath.Base(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func put(t *testing.T, s store.Store, k *store.Kubbi, size int) *store.Kubbi {
	t.Helper()
	if _, err := s.Create(t.Context(), k, bytesOf(bytes.Repeat([]byte("p"), size)), nil, store.Quota{}, t0); err != nil {
		t.Fatal(err)
	}
	return k
}

// A second after the end of a kubbi no file holds its secret; after a delete no file
// holds it when the delete returns.
func TestSecretIsForgotten(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	key := &store.ClaimKey{Key: randomHash(), Grace: time.Minute}
	for name, end := range map[string]func(*store.Kubbi) error{
		"delete": func(k *store.Kubbi) error { _, err := s.Delete(t.Context(), k.Owner, k.ID, t0); return err },
		"claim":  func(k *store.Kubbi) error { _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); return err },
		"release": func(k *store.Kubbi) error {
			_, err := s.Claim(t.Context(), k.Token, key, nil, t0)
			return errors.Join(err, s.Release(t.Context(), k.Token, key.Key, t0))
		},
		"sweep": func(*store.Kubbi) error {
			_, err := s.Sweep(t.Context(), t0.Add(2*time.Hour), time.Hour, 100)
			return err
		},
	} {
		for _, size := range []int{100, 400_000} {
			k := put(t, s, newKubbi(1), size)
			if found := holds(t, path, k.Secret[:]); fmt.Sprint(found) != "[kubbi.slots]" {
				t.Errorf("%s: before, its secret is in %v", name, found)
			}
			if err := end(k); err != nil {
				t.Fatal(err)
			}
			if name != "delete" {
				time.Sleep(50 * time.Millisecond)
			}
			if found := holds(t, path, k.Secret[:]); found != nil {
				t.Errorf("%s: after, its secret is in %v", name, found)
			}
		}
	}
}

// If a process is killed between commit and overwriting, the next Open overwrites.
func TestKilledBeforeOverwriting(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	k, other := put(t, s, newKubbi(1), 100), put(t, s, newKubbi(1), 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	slot := queryInt(t, path, fmt.Sprintf("SELECT slot FROM kubbi WHERE number = %d", k.Token.Number))
	used := queryInt(t, path, fmt.Sprintf("SELECT slot FROM kubbi WHERE number = %d", other.Token.Number))
	execSQL(t, path,
		fmt.Sprintf("UPDATE kubbi SET slot = NULL, status = 3, ended_at = 1, record = NULL WHERE number = %d", k.Token.Number),
		// The list also contains a slot in use, as a damaged list might.
		fmt.Sprintf("INSERT INTO wiped VALUES (7, x'%016x%016x%016x%016x0102')", slot, int64(k.Token.Number), used, int64(other.Token.Number)))
	s = openStore(t, path)
	if found := holds(t, path, k.Secret[:]); found != nil {
		t.Errorf("its secret is in %v", found)
	}
	if _, err := s.Claim(t.Context(), other.Token, nil, nil, t0); err != nil {
		t.Errorf("the other: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := queryInt(t, path, "SELECT count(*) FROM wiped"); n != 0 {
		t.Errorf("%d lists are left", n)
	}
}

// A sweep removes slots and files of no row, but not those of a running create.
func TestOrphans(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	gone, stays := put(t, s, newKubbi(1), 400_000), put(t, s, newKubbi(1), 400_000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	execSQL(t, path, fmt.Sprintf("DELETE FROM kubbi WHERE number = %d", gone.Token.Number))
	file := func(k *store.Kubbi) string {
		return filepath.Join(strings.TrimSuffix(path, ".db")+".bodies", fmt.Sprintf("%016x", int64(k.Token.Number)))
	}
	old := time.Now().Add(-time.Hour)

	maker, s := openStore(t, path), openStore(t, path)
	started, goOn, made := make(chan struct{}), make(chan struct{}), make(chan error)
	slow := newKubbi(1)
	go func() {
		_, err := maker.Create(t.Context(), slow, io.MultiReader(bytesOf(make([]byte, 800_000)), readerFunc(func([]byte) (int, error) {
			close(started)
			<-goOn
			return 0, io.EOF
		})), nil, store.Quota{}, t0)
		made <- err
	}()
	<-started
	for _, k := range []*store.Kubbi{gone, stays, slow} {
		if err := os.Chtimes(file(k), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Sweep(t.Context(), t0, time.Hour, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file(gone)); err == nil {
		t.Error("the file that no row leads to is there")
	}
	if found := holds(t, path, gone.Secret[:]); found != nil {
		t.Errorf("the secret that no row leads to is in %v", found)
	}
	close(goOn)
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	for _, k := range []*store.Kubbi{stays, slow} {
		c, err := s.Claim(t.Context(), k.Token, nil, nil, t0)
		if err != nil {
			t.Fatal(err)
		}
		if err := readAll(c); err != nil {
			t.Error(err)
		}
	}
}

// TestCreateAfterDeath repeats a create whose process has died while it wrote the file of the
// payload.
func TestCreateAfterDeath(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	k := put(t, s, newKubbi(1), 400_000)
	execSQL(t, path, fmt.Sprintf("DELETE FROM kubbi WHERE number = %d", k.Token.Number))
	again := func(written time.Time) error {
		body := filepath.Join(strings.TrimSuffix(path, ".db")+".bodies", fmt.Sprintf("%016x", int64(k.Token.Number)))
		if err := os.Chtimes(body, written, written); err != nil {
			t.Fatal(err)
		}
		_, err := s.Create(t.Context(), k, bytesOf(make([]byte, 500_000)), nil, store.Quota{}, t0)
		return err
	}
	// For some seconds it might be a running create. These seconds begin here, since a busy
	// machine may have needed more of them until now.
	if err := again(time.Now()); !errors.Is(err, store.ErrExists) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("at once: %v", err)
	}
	if err := again(time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	c, err := s.Claim(t.Context(), k.Token, nil, nil, t0)
	if err != nil {
		t.Fatal(err)
	}
	if err := readAll(c); err != nil {
		t.Error(err)
	}
}

type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }

// A missing payload or secret is ErrDamaged, and nothing is counted.
func TestMissingParts(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	stem := strings.TrimSuffix(path, ".db")
	for name, damage := range map[string]func(k *store.Kubbi) error{
		"file removed": func(k *store.Kubbi) error {
			return os.Remove(filepath.Join(stem+".bodies", fmt.Sprintf("%016x", int64(k.Token.Number))))
		},
		"file cut": func(k *store.Kubbi) error {
			return os.Truncate(filepath.Join(stem+".bodies", fmt.Sprintf("%016x", int64(k.Token.Number))), 100_000)
		},
		"secret overwritten": func(k *store.Kubbi) error {
			b, err := os.ReadFile(stem + ".slots")
			if err != nil {
				return err
			}
			at := bytes.Index(b, k.Secret[:])
			f, err := os.OpenFile(stem+".slots", os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(make([]byte, len(k.Secret)), int64(at))
			return errors.Join(err, f.Close())
		},
	} {
		k := put(t, s, newKubbi(1), 400_000)
		if err := damage(k); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if name != "secret overwritten" {
			if got, err := s.Get(t.Context(), k.Owner, k.ID, t0); err != nil || got.Retrievals != 0 {
				t.Errorf("%s: %+v, error %v", name, got, err)
			}
		}
	}
	if l, err := s.List(t.Context(), "local", store.Page{Number: 1, Limit: 10}, t0); err != nil || len(l.Kubbis) != 3 {
		t.Errorf("list: %+v, error %v", l, err)
	}
}

// No row makes a call panic or a sweep stop.
func TestTamperedRows(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	columns := strings.Fields("due status slot retrievals first_at last_at ended_at grace_key grace_until grace_number grace_at grace_more " +
		"created_at expires_at max_retrievals package file_count size quota hash id owner master_key content_type key_h key key_until " +
		"key_request key_answer notify record body")
	for _, column := range columns {
		for _, value := range []string{"NULL", "0", "-1", "9223372036854775807", "-9223372036854775808", "7", "'text'", "x'00'", "zeroblob(100000)", "1.5"} {
			k := put(t, s, newKubbi(2), 100)
			key := &store.ClaimKey{Key: randomHash(), Grace: time.Minute}
			if c, err := s.Claim(t.Context(), k.Token, key, nil, t0); err != nil {
				t.Fatal(err)
			} else if err := readAll(c); err != nil {
				t.Fatal(err)
			}
			tamper(t, path, fmt.Sprintf("UPDATE OR IGNORE kubbi SET %s = %s WHERE number = %d", column, value, k.Token.Number))
			_, _ = s.Inspect(t.Context(), k.Token, t0)
			_, _ = s.Get(t.Context(), k.Owner, k.ID, t0)
			_, _ = s.List(t.Context(), k.Owner, store.Page{Number: 1, Limit: 10}, t0)
			_, _ = s.Claim(t.Context(), k.Token, key, nil, t0)
			_, _ = s.Claim(t.Context(), k.Token, nil, nil, t0)
			_ = s.Release(t.Context(), k.Token, key.Key, t0)
			_, _ = s.Delete(t.Context(), k.Owner, k.ID, t0)
			if _, err := s.Sweep(t.Context(), t0.Add(3*time.Hour), 0, 100); err != nil {
				t.Errorf("%s = %s: sweep: %v", column, value, err)
			}
		}
	}
}

// Open takes over the API keys of a store of the version before that has its own name,
// and refuses one that has the name of the new store.
func TestOldStore(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "store.db")
	hash := randomHash()
	execSQL(t, old, "PRAGMA application_id = 0x6b756262", "PRAGMA user_version = 2",
		`CREATE TABLE api_key (hash BLOB PRIMARY KEY, owner TEXT NOT NULL, label TEXT NOT NULL, created_at INTEGER, revoked_at INTEGER, expires_at INTEGER,
			max_ttl INTEGER NOT NULL DEFAULT 0, max_bytes INTEGER NOT NULL DEFAULT 0, rate INTEGER NOT NULL DEFAULT 0, daily INTEGER NOT NULL DEFAULT 0,
			active INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID`,
		fmt.Sprintf("INSERT INTO api_key VALUES (x'%x', 'someone', 'laptop', %d, NULL, NULL, 90000, 5, 6, 7, 8)", hash, t0.UnixMilli()))
	before, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, filepath.Join(dir, "kubbi.db"))
	k, err := s.APIKey(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	want := store.APIKey{Hash: hash, Owner: "someone", Label: "laptop", CreatedAt: t0, MaxTTL: 90 * time.Second, MaxBytes: 5, Rate: 6, Quota: store.Quota{Daily: 7, Active: 8}}
	if *k != want {
		t.Errorf("%+v, want %+v", *k, want)
	}
	if after, err := os.ReadFile(old); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the old store was changed, error %v", err)
	}
	openFails(t, old, store.ErrOlder, "older version", "kubbi.db")
}

// tamper changes a row beside the store. If the schema refuses that, the row stays.
func tamper(t *testing.T, path, statement string) {
	t.Helper()
	c := rawConn(t, path)
	defer c.Close()
	_ = execTransient(c, statement)
}
