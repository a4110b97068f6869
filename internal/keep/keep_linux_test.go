package keep_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kubbi-mcp/internal/keep"
	"kubbi-mcp/internal/testkit"
)

// inSession runs work in a thread with a session keyring of its own, as in another login.
func inSession(t *testing.T, work func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()                                                 // and the thread ends with the goroutine
		_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) // without a name
		if err == nil {
			work()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		testkit.Missing(t, "this machine has no kernel keyrings: "+err.Error())
	}
}

// TestKeep keeps a secret in one session. It opens there alone, and until it is forgotten.
func TestKeep(t *testing.T) {
	t.Parallel()
	dir := keep.Folder(filepath.Join(t.TempDir(), "kept"))
	secret := bytes.Repeat([]byte("canary"), 1000)
	inSession(t, func() {
		if err := keep.Check(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b"} {
			if err := dir.Put(name, secret, time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
				return
			}
		}
		if err := dir.Put("a", append(secret, '!'), time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
		if got, err := dir.Get("a"); err != nil || string(got) != string(secret)+"!" {
			t.Errorf("%.20q, %v", got, err)
		}
		inSession(t, func() {
			if got, err := dir.Get("a"); !errors.Is(err, keep.ErrNone) {
				t.Errorf("another session: %.20q, %v", got, err)
			}
			if n, err := dir.ForgetAll(); n != 0 || err != nil {
				t.Errorf("another session forgets %d, %v", n, err)
			}
		})
		for _, path := range testkit.FilesIn(t, string(dir)) {
			b, err := os.ReadFile(path)
			info, serr := os.Stat(path)
			if err != nil || serr != nil || bytes.Contains(b, []byte("canary")) || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", path, err, info.Mode())
			}
		}
		if err := dir.Forget("a"); err != nil {
			t.Error(err)
		}
		if _, err := dir.Get("a"); !errors.Is(err, keep.ErrNone) {
			t.Error(err)
		}
		if n, err := dir.ForgetAll(); n != 1 || err != nil {
			t.Errorf("forgets %d, %v", n, err)
		}
		if left := testkit.FilesIn(t, string(dir)); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		if err := dir.Put("c", make([]byte, keep.MaxBytes+1), time.Now().Add(time.Hour)); err == nil {
			t.Error("too large, and kept")
		}
	})
}

// TestKeepEnds checks that the kernel drops the key in time, and that a file of another time
// does not open.
func TestKeepEnds(t *testing.T) {
	t.Parallel()
	dir := keep.Folder(t.TempDir())
	inSession(t, func() {
		if err := dir.Put("a", []byte("x"), time.Now().Add(2*time.Second)); err != nil {
			t.Error(err)
			return
		}
		path := testkit.FilesIn(t, string(dir))[0]
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		i := bytes.Index(text, []byte(`"until":"2`))
		text[i+9] = '3' // a thousand years later
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Error(err)
		}
		if _, err := dir.Get("a"); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("of another time: %v", err)
		}
		testkit.Await(t, "the kernel to drop the key", func() bool {
			_, err := dir.Get("a")
			return errors.Is(err, keep.ErrNone)
		})
		text[i+9] = '2'
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Error(err)
		}
		dir.Sweep()
		if left := testkit.FilesIn(t, string(dir)); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// TestNoSession checks that the keyring that all processes of a user share is refused.
func TestNoSession(t *testing.T) {
	joined := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := joinDefault()
		if err == nil {
			if err := keep.Check(); err == nil || !strings.Contains(err.Error(), "no session keyring of its own") {
				t.Errorf("the user's default keyring is taken: %v", err)
			}
			if err := keep.Folder(t.TempDir()).Put("a", []byte("x"), time.Now().Add(time.Hour)); err == nil {
				t.Error("kept there")
			}
		}
		joined <- err
	}()
	if err := <-joined; err != nil {
		testkit.Missing(t, "this machine's kernel has no default keyring of a user: "+err.Error())
	}
}

// joinDefault makes the user's default keyring the session keyring of this thread.
func joinDefault() error {
	ring, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_SESSION_KEYRING, true)
	if err != nil {
		return err
	}
	about, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, ring)
	if err != nil {
		return err
	}
	_, err = unix.KeyctlJoinSessionKeyring(about[strings.LastIndex(about, ";")+1:])
	return err
}
