package powerloss_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/systemtest/powerloss"
)

// mount mounts a disk until the test ends. Where that cannot be done the test
// is skipped, and fails where everything must be there.
func mount(t testing.TB, d *powerloss.Disk) string {
	t.Helper()
	dir := t.TempDir()
	m, err := powerloss.Mount(d, dir)
	if errors.Is(err, powerloss.ErrUnsupported) && !testkit.CI() {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmount(t, m) })
	return dir
}

func unmount(t testing.TB, m *powerloss.Mounted) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := m.Unmount(ctx); err != nil {
		t.Error(err)
	}
}

// user writes to a mount by bare system calls: what the runtime does besides
// could wait for the file system that this process serves.
type user struct {
	t   testing.TB
	dir string
}

func (u user) check(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}

func (u user) path(name string) string { return filepath.Join(u.dir, name) }

// open opens a file, and makes it if it is not there.
func (u user) open(name string) int {
	u.t.Helper()
	fd, err := unix.Open(u.path(name), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	u.check(err)
	return fd
}

// write writes data into a file at offset, and syncs the file if it is to.
func (u user) write(name, data string, offset int64, sync bool) {
	u.t.Helper()
	fd := u.open(name)
	n, err := unix.Pwrite(fd, []byte(data), offset)
	u.check(err)
	if n != len(data) {
		u.t.Fatalf("wrote %d bytes of %d", n, len(data))
	}
	if sync {
		u.check(unix.Fdatasync(fd))
	}
	u.check(unix.Close(fd))
}

func (u user) syncDir(name string) {
	u.t.Helper()
	fd, err := unix.Open(u.path(name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	u.check(err)
	u.check(unix.Fsync(fd))
	u.check(unix.Close(fd))
}

// tree reads a disk: what each path holds; a directory ends with a slash.
func tree(t testing.TB, d *powerloss.Disk) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := d.WriteTo(dir); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err != nil || rel == "." {
			return err
		}
		if e.IsDir() {
			found[rel+"/"] = ""
			return nil
		}
		if e.Type() == fs.ModeSymlink {
			found[rel], err = os.Readlink(path)
			return err
		}
		b, err := os.ReadFile(path)
		found[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const seeds = 200

// outcomes counts what describe says of each loss.
func outcomes(t *testing.T, d *powerloss.Disk, describe func(map[string]string) string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for seed := range uint64(seeds) {
		seen[describe(tree(t, d.Snapshot(seed)))]++
	}
	for what, n := range seen {
		t.Logf("%d times %q", n, what)
	}
	return seen
}

// exactly fails unless the outcomes are those, each at least once.
func exactly(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	for _, w := range want {
		if got[w] == 0 {
			t.Errorf("never %q", w)
		}
		delete(got, w)
	}
	if len(got) > 0 {
		t.Errorf("should not happen: %v", got)
	}
}

func TestWhatIsSyncedStays(t *testing.T) {
	t.Parallel()
	d := powerloss.New(powerloss.Options{})
	u := user{t, mount(t, d)}
	u.check(unix.Mkdir(u.path("a"), 0o700))
	u.write("a/file", "old", 0, true)
	u.syncDir("a")
	u.syncDir("")
	u.write("a/file", "new", 0, false)
	u.write("a/file", strings.Repeat("x", 9000), 100_000, false)
	seen := outcomes(t, d, func(m map[string]string) string { return m["a/file"][:3] })
	exactly(t, seen, "old", "new")
	u.write("a/file", "", 0, true)
	exactly(t, outcomes(t, d, func(m map[string]string) string { return m["a/file"][:3] + m["a/file"][108_990:] }), "newxxxxxxxxxx")
}

func TestWhatIsNotSyncedMayBeTorn(t *testing.T) {
	t.Parallel()
	d := powerloss.New(powerloss.Options{})
	u := user{t, mount(t, d)}
	u.write("f", strings.Repeat("a", 3*4096), 0, true)
	u.syncDir("")
	u.write("f", strings.Repeat("b", 3*4096), 0, false)
	seen := outcomes(t, d, func(m map[string]string) string {
		for b := []byte(m["f"]); len(b) > 0; b = b[512:] {
			if n := bytes.Count(b[:512], []byte("b")); n != 0 && n != 512 {
				return "a torn sector"
			}
		}
		switch strings.Count(m["f"], "b") {
		case 0:
			return "lost"
		case 3 * 4096:
			return "there"
		case 4096, 2 * 4096:
			return "some pages"
		}
		return "some sectors"
	})
	exactly(t, seen, "lost", "there", "some pages", "some sectors")
}

func TestFileGrowsWithoutItsData(t *testing.T) {
	t.Parallel()
	d := powerloss.New(powerloss.Options{})
	u := user{t, mount(t, d)}
	u.write("f", "a", 0, true)
	u.syncDir("")
	u.write("f", "b", 1, false)
	seen := outcomes(t, d, func(m map[string]string) string { return m["f"] })
	exactly(t, seen, "a", "a\x00", "ab")
}

// A file that was emptied and written again is empty, old or new; the new
// content never stands in the old one.
func TestTruncation(t *testing.T) {
	t.Parallel()
	d := powerloss.New(powerloss.Options{})
	u := user{t, mount(t, d)}
	u.write("f", "abc", 0, true)
	u.syncDir("")
	u.check(unix.Truncate(u.path("f"), 0))
	u.write("f", "x", 0, false)
	seen := outcomes(t, d, func(m map[string]string) string { return m["f"] })
	exactly(t, seen, "abc", "", "\x00", "x")
}

func TestNamesNeedTheirDirectorySynced(t *testing.T) {
	t.Parallel()
	d := powerloss.New(powerloss.Options{})
	u := user{t, mount(t, d)}
	u.write("new", "new", 0, true)
	state := func(m map[string]string) string {
		s := ""
		for _, name := range []string{"new", "old", "sub/moved"} {
			if v, ok := m[name]; ok {
				s += name + "=" + v + " "
			}
		}
		return s
	}
	exactly(t, outcomes(t, d, state), "", "new=new ")
	u.write("old", "old", 0, true)
	u.check(unix.Mkdir(u.path("sub"), 0o700))
	u.syncDir("")
	exactly(t, outcomes(t, d, state), "new=new old=old ")
	u.check(unix.Rename(u.path("new"), u.path("old")))
	exactly(t, outcomes(t, d, state), "new=new old=old ", "old=new ")
	u.check(unix.Rename(u.path("old"), u.path("sub/moved")))
	exactly(t, outcomes(t, d, state), "new=new old=old ", "old=new ", "sub/moved=new ", "new=new sub/moved=new ")
	u.syncDir("sub")
	exactly(t, outcomes(t, d, state), "sub/moved=new ", "new=new sub/moved=new ")
	u.syncDir("")
	u.check(unix.Unlink(u.path("sub/moved")))
	exactly(t, outcomes(t, d, state), "sub/moved=new ", "")
}

// With a journal, names change in order, and a new file's sync keeps its name.
func TestJournal(t *testing.T) {
	t.Parallel()
	d := powerloss.New(powerloss.Options{Journal: true})
	u := user{t, mount(t, d)}
	state := func(m map[string]string) string {
		s := ""
		for _, name := range []string{"a", "b", "c"} {
			if _, ok := m[name]; ok {
				s += name
			}
		}
		return s
	}
	u.write("a", "a", 0, false)
	u.write("b", "b", 0, true)
	exactly(t, outcomes(t, d, state), "ab")
	u.write("c", "c", 0, false)
	u.check(unix.Unlink(u.path("a")))
	exactly(t, outcomes(t, d, state), "ab", "abc", "bc")
}

// TestLikeAnyFileSystem does the same here and in an ordinary directory.
func TestLikeAnyFileSystem(t *testing.T) {
	t.Parallel()
	d := powerloss.New(powerloss.Options{})
	mounted, plain := user{t, mount(t, d)}, user{t, t.TempDir()}
	var results [2][]error
	for i, u := range []user{mounted, plain} {
		do := func(err error) { results[i] = append(results[i], err) }
		do(unix.Mkdir(u.path("d"), 0o700))
		do(unix.Mkdir(u.path("d"), 0o700))
		u.write("d/a", strings.Repeat("0123456789", 1000), 5, false)
		u.write("d/b", "b", 0, false)
		do(unix.Link(u.path("d/a"), u.path("link")))
		do(unix.Link(u.path("d/a"), u.path("d/b")))
		do(unix.Rmdir(u.path("d")))
		do(unix.Unlink(u.path("d")))
		do(unix.Rename(u.path("d/b"), u.path("c")))
		do(unix.Rename(u.path("none"), u.path("c")))
		do(unix.Renameat2(unix.AT_FDCWD, u.path("c"), unix.AT_FDCWD, u.path("link"), unix.RENAME_NOREPLACE))
		do(unix.Truncate(u.path("d/a"), 4100))
		do(unix.Truncate(u.path("link"), 5000))
		do(unix.Symlink("d/a", u.path("s")))
		fd := u.open("s")
		do(unix.Fallocate(fd, 0, 0, 9000))
		do(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1000, 5000))
		do(unix.Unlink(u.path("d/a"))) // it stays open, and has another name
		_, err := unix.Pwrite(fd, []byte("end"), 8998)
		do(err)
		do(unix.Close(fd))
		fd = u.open("gone")
		do(unix.Unlink(u.path("gone")))
		_, err = unix.Pwrite(fd, []byte("gone"), 0)
		do(err)
		buf := make([]byte, 10)
		n, err := unix.Pread(fd, buf, 1)
		do(err)
		if string(buf[:n]) != "one" {
			t.Errorf("a file without a name reads as %q", buf[:n])
		}
		do(unix.Close(fd))
	}
	for i, err := range results[0] {
		if !errors.Is(err, results[1][i]) {
			t.Errorf("step %d: %v, elsewhere %v", i, err, results[1][i])
		}
	}
	got := tree(t, d)
	for name, want := range map[string]string{"d/": "", "c": "b", "link": ""} {
		if _, ok := got[name]; !ok {
			t.Errorf("no %s", name)
		}
		if want != "" && got[name] != want {
			t.Errorf("%s is %q", name, got[name])
		}
	}
	if want, err := os.ReadFile(plain.path("link")); err != nil || got["link"] != string(want) {
		t.Errorf("link differs: %d bytes, elsewhere %d, %v", len(got["link"]), len(want), err)
	}
	entries, err := os.ReadDir(plain.dir) // of the ordinary one
	if err != nil || len(entries) != len(got) {
		t.Errorf("%d names, elsewhere %d, %v", len(got), len(entries), err)
	}
	if _, err := unix.Open(mounted.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600); err == nil {
		t.Error("a file without any name was made")
	}
}
