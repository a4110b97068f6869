package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLookalikes finds a file by a name that looks like its own, if there is only one.
func TestLookalikes(t *testing.T) {
	const shot = "Screenshot 2026-01-01 at 10.00.00\u202fAM.png"
	top, r := tree(t, "in/"+shot, "in/cafe\u0301/re\u0301sume\u0301.txt", "in/\u00c5ngstro\u0308m.txt", "in/全角\u3000空白.txt", "in/a\u00a0b/c\u2009d.txt",
		"in/marked\u200f.docx", "in/John\u2019s.txt", "in/twin\u00e9.txt", "in/twine\u0301.txt", "in/two\u00a0faced.txt", "in/two\u2003faced.txt", "in/x.k\u00a0ey", "in/server.key", "in/.env")
	in := filepath.Join(top, "in")
	for path, want := range map[string]string{
		"Screenshot 2026-01-01 at 10.00.00 AM.png":       shot,
		in + "/Screenshot 2026-01-01 at 10.00.00 AM.png": shot,
		shot:                             shot,
		"caf\u00e9/r\u00e9sum\u00e9.txt": "cafe\u0301/re\u0301sume\u0301.txt",
		"A\u030angstr\u00f6m.txt":        "\u00c5ngstro\u0308m.txt",
		"全角 空白.txt":                      "全角\u3000空白.txt",
		"a b/c d.txt":                    "a\u00a0b/c\u2009d.txt",
		"a\u3000b/./c\u202fd.txt":        "a\u00a0b/c\u2009d.txt",
		"marked.docx":                    "marked\u200f.docx",
		"John's.txt":                     "John\u2019s.txt",
		"twin\u00e9.txt":                 "twin\u00e9.txt",
		"twine\u0301.txt":                "twine\u0301.txt",
	} {
		if text, err := read(r, path); err != nil || text != "content of in/"+want {
			t.Errorf("%+q: %q, %v", path, text, err)
		}
		x, err := r.Expand(path, 20)
		if err != nil || len(x.Files) != 1 || x.Files[0].Path != filepath.Join(in, want) || x.Files[0].Own != filepath.Base(want) {
			t.Errorf("%+q: %+v, %v", path, x, err)
		}
	}
	for path, want := range map[string]string{
		"Screenshot * AM.png": shot, "caf\u00e9/*.txt": "re\u0301sume\u0301.txt", "caf[\u00e9x]/*": "cafe\u0301_re\u0301sume\u0301.txt", "a b/c ?.txt": "c\u2009d.txt", "a */*": "a\u00a0b_c\u2009d.txt",
	} {
		x, err := r.Expand(path, 20)
		if err != nil || len(x.Files) != 1 || x.Files[0].Name != want && !strings.HasSuffix(want, "_"+x.Files[0].Name) {
			t.Errorf("%+q: %+v, %v", path, x, err)
		}
	}
	// The error shows how two of them differ.
	refusedRead(t, r, "two faced.txt", `"two\u00a0faced.txt"`)
	refusedRead(t, r, "two faced.txt", `"two\u2003faced.txt"`)
	// A hidden file stays hidden by every name.
	refusedRead(t, r, "server.k\u200dey", "--allow-hidden")
	refusedRead(t, r, ".e\u200dnv", "--allow-hidden")
	refusedRead(t, r, "\u00a0.env", "--allow-hidden")

	for _, save := range []string{"caf\u00e9", "a b"} { // no second folder that looks the same
		b, err := r.NewBatch(filepath.Join(save, "new"), false)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	all, err := os.ReadDir(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 14 {
		t.Errorf("%d names after saving, want 14", len(all))
	}
}

// TestLookalikeFolder names an allowed folder by a name that looks like its own. That is
// refused if it is another folder's.
func TestLookalikeFolder(t *testing.T) {
	top, _ := tree(t, "Cafe\u0301\u00a01/a.txt", "B\u00a0C/a.txt", "B C/a.txt")
	r := Rules{Folders: []Folder{folder(t, filepath.Join(top, "Cafe\u0301\u00a01")), folder(t, filepath.Join(top, "B\u00a0C"))}}
	for _, path := range []string{"Cafe\u0301\u00a01/a.txt", "Caf\u00e9 1/a.txt", "B\u00a0C/a.txt"} {
		if _, err := read(r, filepath.Join(top, path)); err != nil {
			t.Errorf("%+q: %v", path, err)
		}
	}
	refusedRead(t, r, filepath.Join(top, "B C", "a.txt"), "outside")
	refusedRead(t, r, filepath.Join(top, "Caf\u00e9 12", "a.txt"), "outside")
	if _, err := r.Expand(filepath.Join(top, "Caf\u00e9 1"), 20); err != nil {
		t.Error(err)
	}
}

// TestFoundNames finds files with odd names in a folder.
func TestFoundNames(t *testing.T) {
	top, r := tree(t, "in/src/aux.c", "in/src/con/nul.txt", "in/src/main.c", "in/src/Ünï ço\u0308dé 🎉.md")
	if deviceOr("") == "" { // Windows has none of these
		for _, name := range []string{"what?.md", "a\nb.txt", "back\\slash", "end.", "turn\u202egpj.exe", "not\xffutf8"} {
			if err := os.WriteFile(filepath.Join(top, "in", "src", name), []byte(name), 0o600); err != nil {
				t.Logf("%q: %v", name, err) // a file system with rules of its own
			}
		}
	}
	for _, path := range []string{"src", "src/*"} {
		x, err := r.Expand(path, 20)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, f := range x.Files {
			file, err := r.OpenFound(f)
			if err != nil {
				t.Errorf("%q: %v", f.Path, err)
				continue
			}
			file.Close()
			got[f.Name] = true
		}
		want := []string{"aux_.c", "main.c", "Ünï ço\u0308dé 🎉.md"}
		if path == "src" {
			want = append(want, "con_nul.txt")
		}
		if deviceOr("") == "" {
			want = append(want, "what_.md", "a_b.txt", "back_slash", "end", "turngpj.exe", "not_utf8")
		}
		for _, name := range want {
			if !got[name] {
				t.Errorf("%s: no %q in %v", path, name, got)
			}
		}
	}
}
