package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// holding lists a folder's files with their content, temporary ones too.
func holding(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range all {
		content, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		b.WriteString(e.Name() + "=" + string(content) + " ")
	}
	return strings.TrimSpace(b.String())
}

// save writes files, given as name=content, in one batch.
func save(t *testing.T, dir string, overwrite bool, all ...string) ([]Saved, error) {
	t.Helper()
	b, err := NewBatch(dir, overwrite)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, f := range all {
		name, content, _ := strings.Cut(f, "=")
		if err := b.Stage(t.Context(), name, strings.NewReader(content)); err != nil {
			return nil, err
		}
	}
	return b.Commit()
}

func TestBatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "deep")
	got, err := save(t, dir, false, "a=one", "b=")
	if err != nil {
		t.Fatal(err)
	}
	const ofOne = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
	if got[0] != (Saved{Name: "a", Path: filepath.Join(dir, "a"), Size: 3, SHA256: ofOne}) {
		t.Errorf("%+v", got[0])
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700 | fs.ModeDir, filepath.Join(dir, "a"): 0o600} {
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}

	// An existing file stays, and then nothing is written. One with the same content
	// counts as written.
	if _, err := save(t, dir, false, "c=three", "a=two"); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("over a file: %v", err)
	}
	if got := holding(t, dir); got != "a=one b=" {
		t.Errorf("after a refusal: %s", got)
	}
	if _, err := save(t, dir, false, "c=three", "a=one"); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if _, err := save(t, dir, true, "a=two"); err != nil {
		t.Errorf("over a file on purpose: %v", err)
	}
	if got := holding(t, dir); got != "a=two b= c=three" {
		t.Errorf("in the end: %s", got)
	}
}

// TestBatchThatFails checks that nothing is left when a source fails, the caller has gone, or
// a name is refused.
func TestBatchThatFails(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, stage := range map[string]func(b *Batch) error{
		"source": func(b *Batch) error {
			return b.Stage(t.Context(), "b", io.MultiReader(strings.NewReader("x"), failing{broken}))
		},
		"cancelled": func(b *Batch) error { return b.Stage(cancelled, "b", strings.NewReader("x")) },
		"name":      func(b *Batch) error { return b.Stage(t.Context(), "../b", strings.NewReader("x")) },
		"device":    func(b *Batch) error { return b.Stage(t.Context(), "con.txt", strings.NewReader("x")) },
	} {
		b, err := NewBatch(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Stage(t.Context(), "a", strings.NewReader("whole")); err != nil {
			t.Fatal(err)
		}
		if err := stage(b); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if got := holding(t, dir); got != "" {
			t.Errorf("%s: left behind: %s", name, got)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestCheckBeforeWriting(t *testing.T) {
	top, r := tree(t, "in/there", "in/folder/")
	b, err := r.NewBatch("", false)
	if err == nil {
		b.Close()
		t.Error("an empty path is taken")
	}
	b, err = r.NewBatch(filepath.Join(top, "in"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Check([]string{"new", "also.new"}, false); err != nil {
		t.Error(err)
	}
	old, fresh := filepath.Join(top, "in", (&Batch{id: newID()}).tempName()), filepath.Join(top, "in", (&Batch{id: newID()}).tempName())
	for _, path := range []string{old, fresh} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := b.Check([]string{"new"}, false); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("what a killed process has left is still there after a day")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("what another process is writing: %v", err)
	}
	if err := b.Check([]string{"there"}, true); err != nil {
		t.Errorf("tried before: %v", err)
	}
	for _, given := range [][]string{{"new", "there"}, {"folder"}, {"../x"}, {"a", "A"}, {"a\nb"}, {strings.Repeat("n", 300)}} {
		names, err := b.Names(given, true)
		if err == nil {
			err = b.Check(names, false)
		}
		if err == nil {
			t.Errorf("%.40q can't be written, and was not refused", given)
		}
	}
	if runtime.GOOS != "windows" && os.Getuid() != 0 {
		in := filepath.Join(top, "in")
		if err := os.Chmod(in, 0o500); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(in, 0o700) // so that it can be removed
		if err := b.Check([]string{"new"}, false); err == nil || !strings.Contains(err.Error(), "permission") {
			t.Errorf("a folder that can't be written: %v", err)
		}
	}
}

// TestAttacksOnWriting tries every way to write outside an allowed folder.
func TestAttacksOnWriting(t *testing.T) {
	top, r := tree(t, "in/file")
	in, out := filepath.Join(top, "in"), filepath.Join(top, "out")
	link(t, out, filepath.Join(in, "absolute"))
	link(t, "../out", filepath.Join(in, "relative"))
	for path, why := range map[string]string{
		out: "outside", "../out": "outside", "absolute": "leads out", "relative/new": "leads out", "file": "no folder",
		"file/x": "not a folder", ".ssh": "--allow-hidden", "new/.git/hooks": "--allow-hidden", "CON": "device", "a\x00": "can't be seen",
		"/": "outside", "~": "outside",
	} {
		b, err := r.NewBatch(path, true)
		if err == nil {
			b.Close()
			t.Errorf("%q was opened", path)
			continue
		}
		if !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", path, err, why)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "new")); err == nil {
		t.Error("a folder was made outside")
	}

	// A link, or a file with a second name, is replaced. Nothing is written through it.
	secret := filepath.Join(out, "secret")
	link(t, secret, filepath.Join(in, "link"))
	if err := os.Link(secret, filepath.Join(in, "hard")); err != nil {
		t.Fatal(err)
	}
	if _, err := save(t, in, false, "link=x"); err == nil {
		t.Error("written over a link")
	}
	if _, err := save(t, in, true, "link=x", "hard=y"); err != nil {
		t.Error(err)
	}
	if got := holding(t, out); got != "secret=content of out/secret" {
		t.Errorf("outside: %s", got)
	}

	// A folder is replaced by a link after it was opened: the files go into the folder,
	// wherever it is now.
	b, err := r.NewBatch("later", false)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := os.Rename(filepath.Join(in, "later"), filepath.Join(in, "moved")); err != nil {
		t.Fatal(err)
	}
	link(t, out, filepath.Join(in, "later"))
	if err := b.Stage(t.Context(), "new", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if holding(t, out) != "secret=content of out/secret" || holding(t, filepath.Join(in, "moved")) != "new=x" {
		t.Errorf("outside: %s", holding(t, out))
	}
}

// TestSwappedWhileWriting writes while the folder is replaced again and again by links that
// lead outside: nothing is ever written there.
func TestSwappedWhileWriting(t *testing.T) {
	top, r := tree(t, "in/sub/")
	in, out := filepath.Join(top, "in"), filepath.Join(top, "out")
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		sub, aside := filepath.Join(in, "sub"), filepath.Join(in, "aside")
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if os.Rename(sub, aside) != nil {
				_ = os.RemoveAll(aside) // it was made again meanwhile
				continue
			}
			_ = os.Symlink([]string{"../out", out, ".."}[i%3], sub)
			_ = os.Remove(sub)
			_ = os.Rename(aside, sub)
		}
	})
	written := 0
	deadline := time.Now().Add(time.Minute)
	for tried := 0; tried < 500 || written == 0; tried++ {
		if time.Now().After(deadline) {
			t.Fatalf("written %d times", written)
		}
		b, err := r.NewBatch("sub", true)
		if err != nil {
			continue
		}
		if err := b.Stage(t.Context(), "file", strings.NewReader("x")); err == nil {
			if _, err := b.Commit(); err == nil {
				written++
			}
		}
		_ = b.Close() // the staged file may be gone with its folder
	}
	close(stop)
	swapping.Wait()
	if got := holding(t, out); got != "secret=content of out/secret" {
		t.Errorf("outside: %s", got)
	}
	if all, err := os.ReadDir(top); err != nil || len(all) != 2 {
		t.Errorf("above: %v, %v", all, err)
	}
}
