package files

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnlinkableIsCopied commits a file that the system refuses to link: its content is
// copied.
func TestUnlinkableIsCopied(t *testing.T) {
	for _, overwrite := range []bool{false, true} {
		dir := t.TempDir()
		b, err := NewBatch(dir, overwrite)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600) // O_EXCL: it can't be linked
		if err != nil {
			t.Fatalf("this file system has no files without a name: %v", err)
		}
		f := os.NewFile(uintptr(fd), "unlinkable")
		if _, err := f.WriteString("precious"); err != nil {
			t.Fatal(err)
		}
		b.staged = []staged{{file: f, to: "a", Saved: Saved{Name: "a", Path: filepath.Join(dir, "a"), Size: 8}}}
		if _, err := b.Commit(); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if got := holding(t, dir); got != "a=precious" {
			t.Errorf("there is %q", got)
		}
		if info, err := os.Stat(filepath.Join(dir, "a")); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
}
