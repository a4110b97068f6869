package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestFileName(t *testing.T) {
	rule := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}$`)
	for in, want := range map[string]string{
		"notes.md":                       "notes.md",
		"My report (v1).csv":             "My_report__v1_.csv",
		".env":                           "env",
		"..":                             "file",
		"-rf":                            "rf",
		"a..b":                           "a.b",
		"a....b":                         "a.b",
		"žluť.txt":                       "lu_.txt",
		"x\x00y":                         "x_y",
		"a\nb":                           "a_b",
		"\xff":                           "file",
		strings.Repeat("n", 300) + ".md": strings.Repeat("n", 252) + ".md",
	} {
		got := fileName(in)
		if got != want {
			t.Errorf("fileName(%q) = %q, want %q", in, got, want)
		}
		if !rule.MatchString(got) || strings.Contains(got, "..") {
			t.Errorf("fileName(%q) = %q, which no package can have", in, got)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\nžluť 🐎":  "plain\ttext\nžluť 🐎",
		"a\x1b]0;owned\x07b":   `a\u001b]0;owned\u0007b`,
		"a\rb":                 `a\u000db`,
		"\u009b31m":            `\u009b31m`,
		"gpj.\u202eexe":        `gpj.\u202eexe`,
		"\x00":                 `\u0000`,
		"no\u00a0break, wide　": "no\u00a0break, wide　",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	if got := printable("\xff"); !utf8.ValidString(got) {
		t.Errorf("printable gives invalid UTF-8: %q", got)
	}
}

func TestSeconds(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"60": time.Minute, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "24h": 24 * time.Hour, " 5 ": 5 * time.Second,
	} {
		var s seconds
		if err := s.UnmarshalText([]byte(in)); err != nil || s.duration() != want || s.int() != int(want/time.Second) {
			t.Errorf("%q: %v, %v", in, s.duration(), err)
		}
	}
	for _, in := range []string{"", "0", "-1", "1.5", "1500ms", "10 m", "9223372036854775807", "300000h", "1e3", "ten"} {
		var s seconds
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is taken as %v", in, s.duration())
		}
	}
}

func TestSafeName(t *testing.T) {
	for _, name := range []string{"a", "a.b", "A-1_2.txt", "žluť"} {
		if err := safeName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "..", "../a", "/etc/passwd", "a/b", `a\b`, "a/../../b", "C:x", "a\x00", strings.Repeat("n", 256)} {
		if safeName(name) == nil {
			t.Errorf("%q is taken for a file name", name)
		}
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}

	if err := writeFile(root, "f", []byte("one"), false); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(root, "f", []byte("two"), false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing over a file: %v", err)
	}
	if got := read("f"); got != "one" {
		t.Errorf("the file was written over: %q", got)
	}
	if err := writeFile(root, "f", []byte("two"), true); err != nil {
		t.Fatal(err)
	}
	if got := read("f"); got != "two" {
		t.Errorf("the file was not written over: %q", got)
	}

	// Where there are no hard links.
	if err := writeTemp(root, "t", []byte("three")); err != nil {
		t.Fatal(err)
	}
	if err := renameNew(root, "t", "f"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("renaming over a file: %v", err)
	}
	if err := renameNew(root, "t", "g"); err != nil || read("g") != "three" {
		t.Errorf("rename: %v", err)
	}

	// A folder in the way, and a link that leads outside.
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, overwrite := range []bool{false, true} {
		if err := writeFile(root, "d", []byte("x"), overwrite); err == nil {
			t.Error("a folder was written over")
		}
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		if runtime.GOOS == "windows" {
			t.Skipf("no symbolic links here: %v", err)
		}
		t.Fatal(err)
	}
	if err := writeFile(root, "link", []byte("x"), false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing over a link: %v", err)
	}
	if err := writeFile(root, "link", []byte("x"), true); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(outside); string(b) != "kept" {
		t.Error("a write went through a link")
	}

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".kubbi-") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}
