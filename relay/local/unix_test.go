//go:build unix

package local_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/local"
)

func TestFirstRunIsPrivate(t *testing.T) {
	old := syscall.Umask(0) // the laxest there is
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "kubbi")
	r := newRelay(t, local.Config{Dir: dir})
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("New touched the disk")
	}
	mustCreate(t, r, "x")
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			names = append(names, d.Name())
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(names)
	for _, want := range []string{"api-key", "keyring.json", "kubbi.db"} {
		if i := sort.SearchStrings(names, want); i == len(names) || names[i] != want {
			t.Errorf("no %s among %v", want, names)
		}
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".tmp") {
			t.Errorf("%s was left behind", n)
		}
	}
}

// TestReadOnlyDirectory opens a directory as a user who may not write there.
func TestReadOnlyDirectory(t *testing.T) {
	base, err := os.MkdirTemp("", "kubbi-read-only")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	dir := filepath.Join(base, "kubbi")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	// Root may write anywhere. So its child runs as the user "nobody", from a copy of this
	// program that this user may run.
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	if os.Geteuid() == 0 {
		program, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path = filepath.Join(base, "program")
		testkit.WriteProgram(t, cmd.Path, program)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	cmd.Dir = base
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), dir) || !strings.Contains(string(out), "permission denied") {
		t.Errorf("%v: %s", err, out)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}
