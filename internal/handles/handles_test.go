package handles_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/internal/sealedfile"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

const claimURL = "https://relay.example/r/canary-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA#i=canary"

func newHandle() handles.Handle {
	return handles.Handle{
		ID: uuid.NewString(), Kind: handles.Request, ClaimURL: claimURL, AnswerID: uuid.NewString(), Message: "the canary's key",
		Fields: []api.Field{{Name: "KEY", Secret: true}, {Name: "URL"}}, ExpiresAt: time.Now().Add(time.Hour).Round(0).UTC(),
	}
}

func put(t *testing.T, s *handles.Store, h handles.Handle) handles.Handle {
	t.Helper()
	if err := s.Put(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	return h
}

func file(dir string, h handles.Handle) string { return filepath.Join(dir, "handles", h.ID+".sealed") }

func TestPutGetDelete(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := handles.New(dir, "")
	h := put(t, s, newHandle())
	for name, other := range map[string]*handles.Store{"this store": s, "another process": handles.New(dir, "")} {
		got, err := other.Get(t.Context(), strings.ToUpper(h.ID))
		if err != nil || got.ClaimURL != h.ClaimURL || got.AnswerID != h.AnswerID ||
			got.Message != h.Message || !slices.Equal(got.Fields, h.Fields) || !got.ExpiresAt.Equal(h.ExpiresAt) || !got.HasSecret() {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if err := s.Put(t.Context(), h); !errors.Is(err, fs.ErrExist) {
		t.Errorf("put again: %v", err)
	}
	for _, path := range testkit.FilesIn(t, dir) {
		b, err := os.ReadFile(path)
		if err != nil || bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s has a secret in clear, or %v", path, err)
		}
		if info, err := os.Stat(path); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if err := s.Delete(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), h.ID); !errors.Is(err, handles.ErrNotFound) {
		t.Errorf("after delete: %v", err)
	}
	if err := s.Delete(t.Context(), h.ID); err != nil {
		t.Errorf("delete again: %v", err)
	}
	if left := testkit.FilesIn(t, filepath.Join(dir, "handles")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	for _, id := range []string{"", "../api-key", "..", h.ID + "/..", "{" + h.ID + "}", uuid.NewString()} {
		if _, err := s.Get(t.Context(), id); !errors.Is(err, handles.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestPrinted checks that no verb prints the claim URL.
func TestPrinted(t *testing.T) {
	h := newHandle()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if text := fmt.Sprintf(verb, h) + fmt.Sprintf(verb, &h); strings.Contains(text, "canary") || strings.Contains(text, "63616e617279") {
			t.Errorf("%s: %s", verb, text)
		}
	}
}

// TestCallers checks that a caller has its own handles only, and the directory's owner all.
func TestCallers(t *testing.T) {
	dir := t.TempDir()
	ann, bob, owner := handles.New(dir, "ann"), handles.New(dir, "bob"), handles.New(dir, "")
	h := put(t, ann, newHandle())
	if _, err := bob.Get(t.Context(), h.ID); !errors.Is(err, handles.ErrNotFound) {
		t.Errorf("bob gets it: %v", err)
	}
	if err := bob.Delete(t.Context(), h.ID); err != nil {
		t.Error(err)
	}
	for _, s := range []*handles.Store{ann, owner} {
		if _, err := s.Get(t.Context(), h.ID); err != nil {
			t.Error(err)
		}
	}
	if all, err := bob.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("bob's: %v, %v", all, err)
	}
}

// TestSweep checks that a handle stays until its retention is over.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := handles.New(dir, "")
	old, late := newHandle(), newHandle()
	old.ExpiresAt = time.Now().Add(-handles.Retention - time.Second)
	late.ExpiresAt = time.Now().Add(-handles.Retention + time.Hour)
	put(t, s, old)
	if _, err := s.Get(t.Context(), old.ID); !errors.Is(err, handles.ErrNotFound) {
		t.Errorf("an old one: %v", err)
	}
	day := time.Now().Add(-handles.Retention - time.Minute)
	if err := os.Chtimes(file(dir, old), time.Time{}, day); err != nil {
		t.Fatal(err)
	}
	put(t, s, late) // sweeps
	if _, err := os.Stat(file(dir, old)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one is there: %v", err)
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 1 || all[0].ID != late.ID {
		t.Errorf("%v, %v", all, err)
	}
	// What a killed process has left.
	left := file(dir, old) + ".123.tmp"
	for path, age := range map[string]time.Duration{left: 2 * time.Hour, file(dir, old) + ".456.tmp": 0} {
		testkit.FileOfItsName(t, path)
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := testkit.FilesIn(t, filepath.Join(dir, "handles")); len(all) != 2 || slices.Contains(all, left) {
		t.Errorf("after the sweep: %q", all)
	}
}

// TestDamaged checks that what does not open is named, and costs no other handle.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	s := handles.New(dir, "")
	good := put(t, s, newHandle())
	for name, damage := range map[string]func(path string, b []byte) []byte{
		"cut":     func(_ string, b []byte) []byte { return b[:len(b)/2] },
		"empty":   func(string, []byte) []byte { return nil },
		"changed": func(_ string, b []byte) []byte { b[len(b)-20] ^= 3; return b },
		"foreign": func(string, []byte) []byte { return []byte(`{"version":9}`) },
		"another": func(string, []byte) []byte {
			b, err := os.ReadFile(file(dir, good))
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	} {
		h := put(t, s, newHandle())
		path := file(dir, h)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, damage(path, b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), h.ID); !errors.Is(err, sealedfile.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		all, err := s.List(t.Context())
		if !errors.Is(err, sealedfile.ErrDamaged) || !slices.ContainsFunc(all, func(h handles.Handle) bool { return h.ID == good.ID }) {
			t.Errorf("%s: list: %v, %v", name, all, err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: it is gone: %v", name, err)
		}
	}
	put(t, s, newHandle())
}

// TestLostKey checks that a lost master key is no reason to make another.
func TestLostKey(t *testing.T) {
	dir := t.TempDir()
	s := handles.New(dir, "")
	h := put(t, s, newHandle())
	key := filepath.Join(dir, "client-keyring.json")
	if err := os.Rename(key, key+".lost"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Get(t.Context(), h.ID); err == nil || !strings.Contains(err.Error(), key+" is missing") {
			t.Errorf("get: %v", err)
		}
		if err := s.Put(t.Context(), newHandle()); err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
			t.Errorf("put: %v", err)
		}
	}
	if err := os.Rename(key+".lost", key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), h.ID); err != nil {
		t.Error(err)
	}
}

// TestManyAtOnce has many stores begin in an empty directory at once, as processes do.
func TestManyAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	shared := newHandle()
	var wg sync.WaitGroup
	var mu sync.Mutex
	kept := 0
	for range 8 {
		wg.Go(func() {
			s := handles.New(dir, "")
			if err := s.Put(t.Context(), shared); err == nil {
				mu.Lock()
				kept++
				mu.Unlock()
			} else if !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
			for range 5 {
				h := newHandle()
				if err := s.Put(t.Context(), h); err != nil {
					t.Error(err)
				}
				if _, err := s.Get(t.Context(), h.ID); err != nil {
					t.Error(err)
				}
				if err := s.Delete(t.Context(), h.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := handles.New(dir, "").List(t.Context())
	if err != nil || kept != 1 || len(all) != 1 || all[0].ID != shared.ID {
		t.Errorf("put %d times; left: %v, %v", kept, all, err)
	}
}
