package sqlite_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/relay/store"
)

// marked is a kubbi whose payload, metadata and files can be looked for.
type marked struct {
	*store.Kubbi
	marks map[string][]byte
}

// putMarked creates a kubbi with a payload of n bytes in which the same random
// 32 bytes stand again and again, so that each page holds them whole.
func putMarked(t *testing.T, s store.Store, n int) marked {
	t.Helper()
	mark := make([]byte, 32)
	rand.Read(mark)
	word := hex.EncodeToString(mark[:12])
	k := newKubbi(1)
	k.Package = true
	k.Files = []store.File{{Name: "file-" + word, ContentType: "text/plain"}}
	k.FileCount = 1
	k.Metadata = fmt.Appendf(nil, `{"note":"meta-%s"}`, word)
	k.Notify = []byte("sealed address") // notices stay, and must hold none of it
	payload := bytes.Repeat(mark, n/len(mark))
	var chunks [][]byte
	for len(payload) > store.MaxChunk {
		chunks = append(chunks, payload[:store.MaxChunk])
		payload = payload[store.MaxChunk:]
	}
	key := &store.CreateKey{Key: randomHash(), Request: randomHash(), Answer: []byte("answer"), Grace: time.Minute}
	if _, err := s.Create(t.Context(), k, payloadOf(append(chunks, payload)...), key, store.Quota{}, t0); err != nil {
		t.Fatal(err)
	}
	return marked{k, map[string][]byte{"payload": mark, "metadata": []byte("meta-" + word), "files": []byte("file-" + word)}}
}

// found names the marks that are in a file of the directory.
func (m marked) found(t *testing.T, dir string) map[string]bool {
	t.Helper()
	in := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for name, mark := range m.marks {
			if bytes.Contains(b, mark) {
				in[name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// waitGone waits until no mark is left.
func (m marked) waitGone(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		in := m.found(t, dir)
		if len(in) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("still in the files: %v", in)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// wipings are the ways in which a payload ends.
var wipings = map[string]func(t *testing.T, s store.Store, k *store.Kubbi){
	"burn": func(t *testing.T, s store.Store, k *store.Kubbi) {
		if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); err != nil {
			t.Fatal(err)
		}
	},
	"delete": func(t *testing.T, s store.Store, k *store.Kubbi) {
		if _, err := s.Delete(t.Context(), k.Owner, k.ID, t0); err != nil {
			t.Fatal(err)
		}
	},
	"expiry": func(t *testing.T, s store.Store, k *store.Kubbi) {
		if got, err := s.Sweep(t.Context(), k.ExpiresAt, time.Hour, 10); err != nil || got.Expired != 1 {
			t.Fatalf("%+v, error %v", got, err)
		}
	},
	"release": func(t *testing.T, s store.Store, k *store.Kubbi) {
		key := &store.ClaimKey{Key: randomHash(), Grace: time.Minute}
		if _, err := s.Claim(t.Context(), k.Token, key, nil, t0); err != nil {
			t.Fatal(err)
		}
		if err := s.Release(t.Context(), k.Token, key.Key, t0); err != nil {
			t.Fatal(err)
		}
	},
	"end of grace": func(t *testing.T, s store.Store, k *store.Kubbi) {
		key := &store.ClaimKey{Key: randomHash(), Grace: time.Minute}
		if _, err := s.Claim(t.Context(), k.Token, key, nil, t0); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Sweep(t.Context(), t0.Add(time.Minute), time.Hour, 10); err != nil || got.Wiped != 1 {
			t.Fatalf("%+v, error %v", got, err)
		}
	},
}

// However a payload ends, no file holds it afterwards: with another Store on
// the same file that keeps reading, and beside kubbis that live on.
func TestWipe(t *testing.T) {
	for name, wipe := range wipings {
		for _, size := range []int{100, 5000, 3 << 20} {
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				path := storePath(t)
				dir := filepath.Dir(path)
				s, busy := openStore(t, path), openStore(t, path)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				defer wg.Wait()
				defer cancel()
				for range 2 {
					wg.Go(func() {
						for ctx.Err() == nil {
							if _, err := busy.List(ctx, "local", store.Page{Number: 1, Limit: 100}, t0); err != nil && ctx.Err() == nil {
								t.Error(err)
								return
							}
						}
					})
				}
				m := putMarked(t, s, size)
				if in := m.found(t, dir); len(in) != len(m.marks) {
					t.Fatalf("only %v are found while it lives", in)
				}
				wipe(t, s, m.Kubbi)
				m.waitGone(t, dir)
			})
		}
	}
}

// Under load the log is not emptied, but what was wiped is gone all the same.
func TestWipeUnderLoad(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				k := newKubbi(1)
				_, err := s.Create(ctx, k, payloadOf(make([]byte, 20<<10)), nil, store.Quota{}, t0)
				if err == nil {
					_, err = s.Claim(ctx, k.Token, nil, nil, t0)
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	held := 0 // times that a mark was gone from a log that was not empty
	for range 8 {
		m := putMarked(t, s, 5000)
		wipings["release"](t, s, m.Kubbi)
		m.waitGone(t, filepath.Dir(path))
		if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
			held++
		}
	}
	cancel()
	wg.Wait()
	if held == 0 {
		t.Error("the log was always empty: this test shows nothing about load")
	}
}

// hold starts a read that keeps the log from being emptied until it is let go.
func hold(t *testing.T, path string) (letGo func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	read, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := read.QueryRowContext(t.Context(), "SELECT count(*) FROM chunk").Scan(&n); err != nil || n != 1 {
		t.Fatalf("%d chunks, error %v", n, err)
	}
	return func() {
		t.Helper()
		if err := read.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// A reader that stays at an old state keeps the log from being emptied only as
// long as it stays.
func TestWipeAfterLongRead(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	m := putMarked(t, s, 5000)
	letGo := hold(t, path)
	wipings["burn"](t, s, m.Kubbi)
	// The store goes on working while its checkpoints fail.
	for range 50 {
		if _, err := s.Create(t.Context(), newKubbi(1), payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
			t.Fatal(err)
		}
	}
	if in := m.found(t, filepath.Dir(path)); !in["payload"] {
		t.Fatal("the reader does not hold up the checkpoint: this test shows nothing")
	}
	letGo()
	m.waitGone(t, filepath.Dir(path))
}

// What a killed process has wiped is gone once the store is opened again.
func TestWipeAfterKill(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	m := putMarked(t, s, 5000)
	letGo := hold(t, path)
	wipings["burn"](t, s, m.Kubbi)
	left := filepath.Join(t.TempDir(), "store.db") // as a kill would leave it now
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + end)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(left+end, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	letGo()
	if in := m.found(t, filepath.Dir(left)); !in["payload"] {
		t.Fatal("the log is empty already: this test shows nothing")
	}
	openStore(t, left)
	m.waitGone(t, filepath.Dir(left))
}

// What a process has wiped that ended before it could empty the log is gone
// after a sweep by another that goes on.
func TestWipeLeftToOthers(t *testing.T) {
	path := storePath(t)
	s, other := openStore(t, path), openStore(t, path)
	m := putMarked(t, s, 5000)
	letGo := hold(t, path)
	wipings["burn"](t, s, m.Kubbi)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	letGo()
	if in := m.found(t, filepath.Dir(path)); !in["payload"] {
		t.Fatal("the log is empty already: this test shows nothing")
	}
	if _, err := other.Sweep(t.Context(), t0, time.Hour, 10); err != nil {
		t.Fatal(err)
	}
	m.waitGone(t, filepath.Dir(path))
}

// Close leaves no log behind.
func TestWipeAtClose(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	other := openStore(t, path)
	m := putMarked(t, s, 5000)
	wipings["delete"](t, s, m.Kubbi)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if in := m.found(t, filepath.Dir(path)); len(in) != 0 {
		t.Errorf("after Close, still in the files: %v", in)
	}
	if err := other.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
