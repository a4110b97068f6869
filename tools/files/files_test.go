package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// tree makes a folder with files. The rules allow its subfolder "in".
func tree(t *testing.T, paths ...string) (string, Rules) {
	t.Helper()
	top := t.TempDir()
	for _, p := range append(paths, "in/", "out/secret") {
		full := filepath.Join(top, filepath.FromSlash(p))
		if strings.HasSuffix(p, "/") {
			if err := os.MkdirAll(full, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte("content of "+p), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return top, Rules{Folders: []Folder{folder(t, filepath.Join(top, "in"))}}
}

func folder(t *testing.T, path string) Folder {
	t.Helper()
	f, err := NewFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// read gives the content of the one file that a path stands for.
func read(r Rules, path string) (string, error) {
	x, err := r.Expand(path, 20)
	if err != nil {
		return "", err
	}
	if !x.One {
		return "", fmt.Errorf("%q stands for %d files", path, len(x.Files))
	}
	f, err := r.OpenFound(x.Files[0])
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return string(b), err
}

// refusedRead reads a path, and checks that it is refused for the reason.
func refusedRead(t *testing.T, r Rules, path, why string) {
	t.Helper()
	text, err := read(r, path)
	if err == nil {
		t.Fatalf("%q was read: %q", path, text)
	}
	var refusal Refusal
	if !errors.As(err, &refusal) || !strings.Contains(string(refusal), why) {
		t.Errorf("%.100q: %v, want %q", path, err, why)
	}
	if strings.ContainsAny(err.Error(), "\n\x00\u202e") {
		t.Errorf("the error for %q breaks out of its line", path)
	}
}

// TestRead reads allowed files by each way to name them.
func TestRead(t *testing.T) {
	top, r := tree(t, "in/a.txt", "in/sub/b.txt", "in/sub/deep/c.txt")
	link(t, "sub/b.txt", filepath.Join(top, "in", "link"))
	link(t, "../sub", filepath.Join(top, "in", "sub", "self"))
	for path, want := range map[string]string{
		filepath.Join(top, "in", "a.txt"): "in/a.txt",
		"a.txt":                           "in/a.txt",
		"sub/../a.txt":                    "in/a.txt",
		"link":                            "in/sub/b.txt",
		"sub/self/deep/c.txt":             "in/sub/deep/c.txt",
		filepath.Join(top, "in") + "/sub/./deep/../b.txt": "in/sub/b.txt",
	} {
		if text, err := read(r, path); err != nil || text != "content of "+want {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
}

// deviceOr is the reason why a device's name is refused: on Windows as such, elsewhere
// another one.
func deviceOr(why string) string {
	if runtime.GOOS == "windows" {
		return "device"
	}
	return why
}

// TestAttacksOnReading tries every way out of an allowed folder.
func TestAttacksOnReading(t *testing.T) {
	top, r := tree(t, "in/a.txt", "in/sub/b.txt", "in/.env", "in/.ssh/id_rsa", "in/conf/server.pem", "in2/c.txt")
	in := filepath.Join(top, "in")
	secret := filepath.Join(top, "out", "secret")
	link(t, secret, filepath.Join(in, "absolute"))
	link(t, "../out/secret", filepath.Join(in, "relative"))
	link(t, "../out", filepath.Join(in, "folder"))
	link(t, ".ssh/id_rsa", filepath.Join(in, "shown"))
	link(t, "loop", filepath.Join(in, "loop"))
	link(t, "/proc/self/environ", filepath.Join(in, "environ"))
	for path, why := range map[string]string{
		"":                                    "empty",
		"../out/secret":                       "outside",
		"sub/../../out/secret":                "outside",
		secret:                                "outside",
		"/etc/passwd":                         "outside",
		"/proc/self/environ":                  "outside",
		"/dev/zero":                           "outside",
		in + "2/c.txt":                        "outside",
		"absolute":                            "leads out",
		"relative":                            "leads out",
		"folder/secret":                       "leads out",
		"environ":                             "leads out",
		"loop":                                "too many symbolic links",
		".env":                                "--allow-hidden",
		".ssh/id_rsa":                         "--allow-hidden",
		"shown":                               "--allow-hidden",
		"conf/server.pem":                     "--allow-hidden",
		"a.txt\x00.png":                       "can't be seen",
		"a\n.txt":                             "can't be seen",
		"\u202etxt.a":                         "can't be seen",
		"a\xff":                               "can't be seen",
		"CON":                                 deviceOr("does not exist"),
		"sub/nul.txt":                         deviceOr("does not exist"),
		strings.Repeat("n", 300):              "longer than 255",
		strings.Repeat("a/", 3000):            "longer than 4096",
		"~/.ssh/id_rsa":                       "outside",
		"file://example.com/etc/passwd":       "this machine",
		"file:///etc/passwd":                  "outside",
		"file:" + in + "/../out/secret":       "outside",
		"file://" + in + "/a.txt%00.png":      "can't be seen",
		"file://" + in + "/a.txt?x":           "%3F",
		"file://" + in + "/%2e%2e/out/secret": "outside",
		"а.txt":                               "does not exist", // Cyrillic
		"‥/out/secret":                        "does not exist", // one character, two dots
		"..／out／secret":                       "hidden",         // wide slashes: one name, which starts with a dot
		"a.txt/b":                             "not a folder",
		filepath.Join(top, "ìn") + "/a.txt":   "outside",
	} {
		refusedRead(t, r, path, why)
	}
	refusedRead(t, Rules{}, filepath.Join(in, "a.txt"), "--allow-dir")
	_, err := read(r, "/etc/passwd")
	if !strings.Contains(err.Error(), in) {
		t.Errorf("%v does not say which folders are allowed", err)
	}

	r.Hidden = true
	for _, path := range []string{".env", ".ssh/id_rsa", "shown", "conf/server.pem"} {
		if _, err := read(r, path); err != nil {
			t.Errorf("allowed: %v", err)
		}
	}
	refusedRead(t, r, "relative", "leads out")
}

// TestParsePath reads paths as hosts and people write them.
func TestParsePath(t *testing.T) {
	top, r := tree(t, "in/a b.txt", "in/100%.txt")
	in := filepath.Join(top, "in")
	t.Setenv("HOME", in)
	t.Setenv("USERPROFILE", in)
	slashes := filepath.ToSlash(in)
	if !strings.HasPrefix(slashes, "/") {
		slashes = "/" + slashes // C:/...
	}
	for _, path := range []string{"~/a b.txt", "file://" + slashes + "/a%20b.txt", "file://localhost" + slashes + "/a b.txt", "FILE:" + slashes + "/a%20b.txt", "100%.txt", "file://" + slashes + "/100%25.txt"} {
		if _, err := read(r, path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if x, err := r.Expand("~", 20); err != nil || len(x.Files) != 2 {
		t.Errorf("~: %+v, %v", x, err)
	}
}

// TestDenied refuses our own folder by every name, even if it is allowed.
func TestDenied(t *testing.T) {
	top, r := tree(t, "in/a.txt", "in/data/api-key", "in/database")
	data := filepath.Join(top, "in", "data")
	link(t, data, filepath.Join(top, "moved"))
	link(t, "data", filepath.Join(top, "in", "link"))
	r.Hidden = true
	for _, never := range []string{data, filepath.Join(top, "moved")} {
		r.Denied = []string{never}
		for _, path := range []string{"data/api-key", "link/api-key", "./data/../data/api-key", "data", "data/*"} {
			refusedRead(t, r, path, "")
		}
		if b, err := r.NewBatch("data/new", false); err == nil {
			b.Close()
			t.Error("saved among our own keys")
		}
		x, err := r.Expand("[ad]*", 20)
		if err != nil || len(x.Files) != 2 || x.Hidden != 1 {
			t.Errorf("%+v, %v", x, err)
		}
	}
	r.Folders = append(r.Folders, folder(t, data))
	refusedRead(t, r, filepath.Join(data, "api-key"), "keys")
}

// TestDeniedByAnotherName has an allowed folder whose path does not lead into our own folder
// by its text, as on a file system that ignores case.
func TestDeniedByAnotherName(t *testing.T) {
	top, _ := tree(t, "in/a.txt", "in/data/api-key")
	same := filepath.Join(top, "IN")
	link(t, filepath.Join(top, "in"), same)
	r := Rules{Folders: []Folder{{Path: same, real: same}}, Hidden: true, Denied: []string{filepath.Join(top, "in", "data")}}
	for _, path := range []string{"data/api-key", "data", "data/*", "*/api-key"} {
		refusedRead(t, r, path, "")
	}
	if b, err := r.NewBatch("data/new", false); err == nil {
		b.Close()
		t.Error("saved among our own keys")
	}
	if x, err := r.Expand(same, 20); err != nil || len(x.Files) != 1 || x.Hidden != 1 {
		t.Errorf("%+v, %v", x, err)
	}
	if text, err := read(r, "a.txt"); err != nil || text != "content of in/a.txt" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestNestedFolders allows a folder inside another allowed one: paths are walked from the
// outer one, and the inner one's own name counts as allowed.
func TestNestedFolders(t *testing.T) {
	top, _ := tree(t, "in/.config/app/a.txt", "in/.config/b.txt")
	in, app := filepath.Join(top, "in"), filepath.Join(top, "in", ".config", "app")
	r := Rules{Folders: []Folder{folder(t, app), folder(t, in)}}
	if _, err := read(r, filepath.Join(app, "a.txt")); err != nil {
		t.Fatal(err)
	}
	refusedRead(t, r, filepath.Join(in, ".config", "b.txt"), "--allow-hidden")
	refusedRead(t, r, "a.txt", "absolute")

	if err := os.RemoveAll(app); err != nil {
		t.Fatal(err)
	}
	link(t, filepath.Join(top, "out"), app)
	refusedRead(t, r, filepath.Join(app, "secret"), "leads out")
}

// TestSwappedDuringTheCall reads while a file and a folder are replaced by links again and
// again: nothing but the file is ever read.
func TestSwappedDuringTheCall(t *testing.T) {
	top, r := tree(t, "in/sub/secret", "in/.hidden/secret")
	in := filepath.Join(top, "in")
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	// Each works in the folder that was opened before, whatever is in its place now.
	open := func(folder string) *os.Root {
		dir, err := os.OpenRoot(folder)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dir.Close() })
		return dir
	}
	swap := func(dir *os.Root, name string, targets ...string) {
		swapping.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				aside := name + "-aside"
				if err := errors.Join(
					dir.Rename(name, aside),
					dir.Symlink(targets[i%len(targets)], name),
					dir.Remove(name),
					dir.Rename(aside, name),
				); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Duration(i%4) * 100 * time.Microsecond) // sometimes nothing is replaced
			}
		})
	}
	outer, inner := open(in), open(filepath.Join(in, "sub"))
	swap(outer, "sub", "../out", filepath.Join(top, "out"), ".hidden")
	swap(inner, "secret", "../../out/secret", "/proc/self/environ", "../.hidden/secret")
	deadline := time.Now().Add(time.Minute)
	for got, refused := 0, 0; got+refused < 3000 || got == 0 || refused == 0; {
		if time.Now().After(deadline) {
			t.Fatalf("read %d times, refused %d times", got, refused)
		}
		text, err := read(r, "sub/secret")
		if err != nil {
			refused++
			continue
		}
		if text != "content of in/sub/secret" {
			t.Errorf("read %q", text)
		}
		got++
	}
	close(stop)
	swapping.Wait()
}

func TestExpand(t *testing.T) {
	top, r := tree(t, "in/b.log", "in/a.log", "in/c.txt", "in/sub/a.log", "in/sub/x/d e.md", "in/.git/config", "in/prod.env", "in/empty/")
	in := filepath.Join(top, "in")
	for path, want := range map[string]string{
		"a.log":       "a.log",
		"*.log":       "a.log b.log",
		in + "/*.log": "a.log b.log",
		"[ab].log":    "a.log b.log",
		"*":           "a.log b.log c.txt",
		"*/*.log":     "sub_a.log",
		"sub":         "a.log x_d e.md",
		"sub/*/*":     "x_d e.md",
		in:            "a.log b.log c.txt sub_a.log sub_x_d e.md",
		".":           "a.log b.log c.txt sub_a.log sub_x_d e.md",
		filepath.Join(in, "..", "in", "s?b", "a*"): "sub_a.log",
	} {
		x, err := r.Expand(path, 20)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var names []string
		for _, f := range x.Files {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		if path == "." && x.Hidden != 2 {
			t.Errorf("%d left out", x.Hidden)
		}
	}
	for path, why := range map[string]string{
		"*.png": "no file matches", "empty": "no file in", "[": "no pattern", "**/a.log": "**", "none/*": "does not exist",
		".git/*": "--allow-hidden", "../out/*": "outside", "*/../../out/*": "outside",
	} {
		if _, err := r.Expand(path, 20); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", path, err, why)
		}
	}
	if _, err := r.Expand("*", 2); err == nil || !strings.Contains(err.Error(), "more than 2") {
		t.Errorf("three files where two are allowed: %v", err)
	}
}

// TestExpandMeetsLink refuses a folder and a pattern if there is a link among the files.
func TestExpandMeetsLink(t *testing.T) {
	top, r := tree(t, "in/a.log")
	in := filepath.Join(top, "in")
	link(t, "../out/secret", filepath.Join(in, "z.log"))
	for _, path := range []string{"*.log", "."} {
		if _, err := r.Expand(path, 20); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s with a link in it: %v", path, err)
		}
	}
}
