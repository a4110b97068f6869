package stdio

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// A data directory can have every name that a folder can have: an agent sends, the
// server is killed, and the shell finds everything.
func TestDataDirAnywhere(t *testing.T) {
	names := []string{"Library/Application Support", "a+b &c=d;e", "100%25 #1 %41", "[a] {b} ~ $HOME `x` 'y'", "Данные/データ 👩‍💻/été"}
	if runtime.GOOS != "windows" { // which has no such names
		names = append(names, "who? *", `back\slash "q" <x>|y`, "new\nline", " a space around ", "file:x?mode=memory")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir, url := filepath.Join(root, name), testkit.FreeURL(t)
			where := []string{"--data-dir", dir, "--relay-url", url}
			run := func(args ...string) string {
				t.Helper()
				out, errs, err := testkit.Run(t, nil, append(where, args...)...)
				if err != nil {
					t.Fatalf("%v: %v\n%s", args, err, errs)
				}
				return out
			}

			s := start(t, "", where...)
			sent := s.call(t, "send", map[string]any{"content": "from the agent"})
			if sent.IsError {
				t.Fatal(sent.text())
			}
			s.kill()
			if out := run("claim", sent.StructuredContent.ClaimURL); out != "from the agent" {
				t.Errorf("claimed %q", out)
			}

			file, data, _ := newFile(t, 300_000) // goes through a spool
			out := filepath.Join(root, "out")
			run("claim", "-o", out, strings.TrimSpace(run("send", file)))
			if got, err := os.ReadFile(filepath.Join(out, filepath.Base(file))); err != nil || !bytes.Equal(got, data) {
				t.Errorf("claimed %d bytes, want %d: %v", len(got), len(data), err)
			}

			run("keyring", "rotate", "--keyring", filepath.Join(dir, "keyring.json"))
			key := strings.TrimSpace(run("keys", "create", "--label", "x"))
			if !strings.HasPrefix(key, "kb_") {
				t.Errorf("key %.3s...", key)
			}
			for _, flags := range [][]string{nil, {"--store", filepath.Join(dir, "kubbi.db")}} {
				if got := run(append([]string{"relay", "check", "--listen", strings.TrimPrefix(url, "http://")}, flags...)...); strings.Contains(got, "failed") {
					t.Errorf("relay check %v: %s", flags, got)
				}
			}
			files, err := os.ReadDir(root)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if first := strings.SplitN(name, "/", 2)[0]; f.Name() != first && f.Name() != "out" {
					t.Errorf("%q lies beside the data directory", f.Name())
				}
			}
		})
	}
}

// The default place is used as it is, with the space that it has on macOS.
func TestDataDirDefault(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the place on Windows is not set by variables")
	}
	home := filepath.Join(t.TempDir(), "Ann Other")
	env := []string{"HOME=" + home, "XDG_DATA_HOME=" + filepath.Join(home, "Library", "Application Support"), "KUBBI_RELAY_URL=" + testkit.FreeURL(t)}
	out, errs, err := testkit.Run(t, env, "send", "hello")
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	if out, errs, err = testkit.Run(t, env, "claim", strings.TrimSpace(out)); err != nil || out != "hello" {
		t.Errorf("claimed %q, %v\n%s", out, err, errs)
	}
	if _, err := os.Stat(filepath.Join(home, "Library", "Application Support", "kubbi", "kubbi.db")); err != nil && runtime.GOOS == "linux" {
		t.Error(err)
	}
}

// The agent gets an error in words, with the cure, if the data directory can't be used.
// A call works as soon as the directory is repaired.
func TestDataDirTroubleIsTold(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell that limits the size of files")
	}
	told := func(got toolResult, want ...string) {
		t.Helper()
		text := got.text()
		for _, w := range append(want, "data directory", "KUBBI_DATA_DIR", "no restart is needed") {
			if !got.IsError || !strings.Contains(text, w) {
				t.Errorf("%q is not in: %s", w, text)
			}
		}
		if strings.Contains(text, "--base-url") {
			t.Errorf("the base URL has nothing to do with it: %s", text)
		}
	}

	file := filepath.Join(t.TempDir(), "a file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "", "--data-dir", file, "--relay-url", testkit.FreeURL(t))
	told(s.call(t, "send", map[string]any{"content": "x"}), file+" is not a directory")
	told(s.call(t, "list", map[string]any{}), file+" is not a directory")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := s.call(t, "send", map[string]any{"content": "x"}); got.IsError {
		t.Errorf("after it was mended: %s", got.text())
	}

	dir := filepath.Join(t.TempDir(), "full disk")
	s = start(t, "ulimit -f 1000;", "--data-dir", dir, "--relay-url", testkit.FreeURL(t))
	told(s.call(t, "send", map[string]any{"content": strings.Repeat("x", 2_000_000)}), "disk is full", "make room on the disk of "+dir)
	if got := s.call(t, "send", map[string]any{"content": "small"}); got.IsError {
		t.Errorf("there is room for this: %s", got.text())
	}
}
