//go:build unix

package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childFull fills the store up to a file size limit, then gets room again.
func childFull(path string, _ []string) error {
	ctx := context.Background()
	signal.Ignore(syscall.SIGXFSZ)
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	var room syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		return err
	}
	tight := room
	tight.Cur = 2 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &tight); err != nil {
		return err
	}
	var made []*store.Kubbi
	var full error
	for full == nil {
		if len(made) > 1000 {
			return errors.New("the disk never got full")
		}
		k := newKubbi(1)
		if _, full = s.Create(ctx, k, payloadOf(make([]byte, 10<<10)), nil, store.Quota{}, t0); full == nil {
			made = append(made, k)
		}
	}
	if !errors.Is(full, store.ErrUnavailable) || !errors.Is(full, sqlite.ErrFull) || !strings.Contains(full.Error(), path) {
		return fmt.Errorf("full disk: %w", full)
	}
	for _, k := range made {
		if _, err := s.Inspect(ctx, k.Token, t0); err != nil {
			return fmt.Errorf("inspect on a full disk: %w", err)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		return err
	}
	k := newKubbi(1)
	if _, err := s.Create(ctx, k, payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
		return fmt.Errorf("create with room again: %w", err)
	}
	for _, k := range append(made, k) {
		if _, err := s.Claim(ctx, k.Token, nil, nil, t0); err != nil {
			return fmt.Errorf("claim with room again: %w", err)
		}
	}
	fmt.Println(len(made))
	return s.Close()
}

// cpu is the processor time this process has used: unlike operations per
// second it does not depend on how busy disk and machine are.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestFullDisk(t *testing.T) {
	cmd := child(t, "full", storePath(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// What the user may not write to is left alone. Root may write everywhere, so
// as root the test runs as nobody.
func TestReadOnly(t *testing.T) {
	base, err := os.MkdirTemp("", "kubbi-store-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(base, "store.test")
	testkit.WriteProgram(t, copied, program)
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		dir, file os.FileMode
		fresh     bool
	}{
		{"file", 0o777, 0o444, false},
		{"directory", 0o555, 0o666, false},
		{"directory and file", 0o555, 0o444, false},
		{"empty directory", 0o555, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(base, c.name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "store.db")
			var before []byte
			if !c.fresh {
				made, _ := filled(t, 1)
				if before, err = os.ReadFile(made); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, before, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(path, c.file); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(dir, c.dir); err != nil {
				t.Fatal(err)
			}
			cmd := child(t, "open", path)
			cmd.Path = copied
			cmd.Dir = base
			if os.Getuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("it opens and writes")
			}
			for _, w := range []string{path, "write", dir} {
				if !strings.Contains(string(out), w) {
					t.Errorf("error %q does not say %q", out, w)
				}
			}
			if after, err := os.ReadFile(path); !c.fresh && (err != nil || !bytes.Equal(before, after)) {
				t.Errorf("the file was changed, error %v", err)
			}
		})
	}
}

// Nobody but the user reads what the store writes.
func TestModes(t *testing.T) {
	path := storePath(t)
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	s := openStore(t, path)
	if _, err := s.Create(t.Context(), newKubbi(1), payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	if len(entries) != 4 {
		t.Errorf("%d files, want store.db, -wal, -shm, .lock", len(entries))
	}
}
