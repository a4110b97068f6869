//go:build unix

package files

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestNoRegularFile refuses what only looks like a file. Nothing is at the other end of the
// pipe, and the test must end all the same.
func TestNoRegularFile(t *testing.T) {
	top, r := tree(t, "in/a.txt")
	in := filepath.Join(top, "in")
	if err := syscall.Mkfifo(filepath.Join(in, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(in, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Link(filepath.Join(top, "out", "secret"), filepath.Join(in, "hard")); err != nil {
		t.Fatal(err)
	}
	refusedRead(t, r, "pipe", "no regular file")
	refusedRead(t, r, "sock", "no regular file")
	refusedRead(t, r, "hard", "hard link")

	// A pipe replaces a file after its Lstat: the open does not wait.
	s, err := r.locate("a.txt")
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.walk(s, false)
	if err != nil {
		t.Fatal(err)
	}
	defer e.dir.Close()
	if err := os.Rename(filepath.Join(in, "pipe"), filepath.Join(in, "a.txt")); err != nil {
		t.Fatal(err)
	}
	if f, err := r.openRegular(e); err == nil {
		f.Close()
		t.Error("a pipe was opened for the file that was there before")
	}

	if runtime.GOOS == "linux" {
		r.Folders = append(r.Folders, folder(t, "/proc/self"), folder(t, "/dev"))
		refusedRead(t, r, "/proc/self/environ", "kernel")
		refusedRead(t, r, "/dev/null", "no regular file")
	}
}
