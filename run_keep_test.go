//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kubbi-mcp/internal/testkit"
)

// login runs programs as another login of the same user does: with a session keyring of its
// own, which its processes share.
type login struct {
	t    *testing.T
	work chan func()
}

func newLogin(t *testing.T) *login {
	l := &login{t: t, work: make(chan func())}
	joined := make(chan error)
	go func() {
		runtime.LockOSThread() // a process is a child of the thread that starts it, and the thread ends with the goroutine
		_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
		joined <- err
		for work := range l.work {
			work()
		}
	}()
	t.Cleanup(func() { close(l.work) })
	if err := <-joined; err != nil {
		testkit.Missing(t, "this machine has no kernel keyrings: "+err.Error())
	}
	return l
}

// run runs kubbi-mcp in the login, and gives all that it prints.
func (l *login) run(env []string, args ...string) (out string, code int) {
	l.t.Helper()
	cmd := exec.Command(binary(l.t), args...)
	cmd.Env = env
	done := make(chan struct{})
	l.work <- func() {
		defer close(done)
		b, _ := cmd.CombinedOutput()
		out = string(b)
	}
	<-done
	return out, cmd.ProcessState.ExitCode()
}

// TestRunKeeps runs several commands with one claim, in one login alone.
func TestRunKeeps(t *testing.T) {
	env := terminalEnv(t)
	here, elsewhere := newLogin(t), newLogin(t)
	id, code := here.run(env, "send", "--handle", "--max-retrievals", "1", "--text", "kept for a while")
	id, _, _ = strings.Cut(id, "\n")
	if code != 0 || len(id) != 36 {
		t.Fatalf("%d, %q", code, id)
	}
	show := []string{"--env", "P=" + id, "--", "sh", "-c", `test "$P" = "kept for a while" && echo "it is $P"`}
	want := func(l *login, wantCode int, wantOut string, args ...string) {
		t.Helper()
		if out, code := l.run(env, append([]string{"run"}, args...)...); code != wantCode || !strings.Contains(out, wantOut) {
			t.Errorf("run %q: exit code %d, %q; want %d, %q", args, code, out, wantCode, wantOut)
		}
	}
	// A command that can't start keeps nothing and spends nothing.
	want(here, 127, "nothing was claimed", "--keep", "1h", "--env", "P="+id, "--", "no-such-command-anywhere")
	want(here, 0, "it is [P]", append([]string{"--keep", "1h"}, show...)...)
	want(here, 0, "it is [P]", show...)
	want(here, 0, "it is [P]", append([]string{"--keep", "1h"}, show...)...)
	want(elsewhere, 3, "no claim URL is kept", show...)
	want(elsewhere, 0, "0 claims forgotten", "--forget")
	dir, _ := terminalDirs.Load(t.Name())
	kept, err := filepath.Glob(filepath.Join(dir.(string), "data", "kept", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %q, %v", kept, err)
	}
	if b, err := os.ReadFile(kept[0]); err != nil || strings.Contains(string(b), "kept for a while") || strings.Contains(string(b), id) {
		t.Errorf("the file is %q, %v", b, err)
	}
	want(here, 0, "it is [P]", show...)
	want(here, 0, "1 claim forgotten", "--forget")
	want(here, 3, "no claim URL is kept", show...)
	if _, err := os.Stat(kept[0]); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
}
