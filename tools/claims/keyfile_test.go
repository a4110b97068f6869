package claims

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/flock"
)

// TestSpares passes a file from one key to another. Meanwhile it belongs to no key, and files
// of another process are left alone.
func TestSpares(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be renamed here")
	}
	dir := t.TempDir()
	ours, theirs := NewState(dir), NewState(dir)
	names := func() (all []string) {
		entries, err := os.ReadDir(filepath.Join(dir, keysFolder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	open := func(s *State, name string) *lockedFile {
		t.Helper()
		f, err := s.openLocked(keysFolder, name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	var s spares
	s.put(open(ours, "a"))
	if all := names(); len(all) != 0 {
		t.Errorf("the only claim left %q", all)
	}
	f := open(ours, "b")
	if _, err := f.WriteAt([]byte("a key"), 0); err != nil {
		t.Fatal(err)
	}
	s.put(f)
	if all := names(); len(all) != 1 || !strings.HasPrefix(all[0], "spare-") {
		t.Fatalf("there are %q", all)
	}
	again := open(theirs, "b") // the spare does not block its old name
	if got := s.take(ours.path(keysFolder, "b")); got != nil {
		t.Errorf("a file that is another's is replaced: %v", got)
	}
	got := s.take(ours.path(keysFolder, "c"))
	if got != f {
		t.Fatalf("there was a spare: %v", got)
	}
	if info, err := os.Stat(filepath.Join(dir, keysFolder, "c")); err != nil || info.Size() != 0 {
		t.Errorf("it is not empty: %v, %v", info, err)
	}
	if _, err := theirs.openLocked(keysFolder, "c"); err != flock.ErrLocked {
		t.Errorf("another process opens it: %v", err)
	}
	s.put(got)
	if err := os.Remove(got.path); err != nil { // a sweep
		t.Fatal(err)
	}
	if got := s.take(ours.path(keysFolder, "d")); got != nil {
		t.Errorf("a spare that was swept: %v", got)
	}
	s.put(open(ours, "d"))
	for until := time.Now().Add(time.Minute); len(names()) > 1 && time.Now().Before(until); {
		time.Sleep(50 * time.Millisecond)
	}
	if all := names(); len(all) != 1 { // b
		t.Errorf("after a while there are %q", all)
	}
	for _, name := range []string{"e", "f", "g", "h", "i", "j"} {
		defer s.put(open(ours, name))
	}
	s.put(open(ours, "k"))
	s.close()
	if all := names(); len(all) != 7 { // with b
		t.Errorf("there are %q", all)
	}
	again.remove()
}
