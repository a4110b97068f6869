package testkit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// Root is the folder of go.mod.
func Root(t testing.TB) string {
	t.Helper()
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// findRoot looks for go.mod upwards from the working directory: a test starts in its
// package's folder.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
}

// Needs gives the path of an outside program from an environment variable. If the variable
// is not set, it skips the test, or fails it in .ci/run.
func Needs(t testing.TB, variable, what string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		Missing(t, variable+" does not say where "+what+" is; .ci/run installs it")
	}
	return path
}

// NeedsNode gives the path of Node.js. It skips or fails a test as Needs does.
func NeedsNode(t testing.TB) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		Missing(t, "Node.js is not on the path")
	}
	return node
}

// CI reports whether .ci/run runs the tests. Then everything that a test needs must be
// installed, and a test may take long.
func CI() bool { return os.Getenv("KUBBI_CI") == "1" }

// Missing skips a test that needs something which this machine lacks, or fails it in
// .ci/run.
func Missing(t testing.TB, message string) {
	t.Helper()
	if CI() {
		t.Fatal(message)
	}
	t.Skip(message)
}

// OnlyCI skips a test that takes long or needs many processes, unless .ci/run runs
// it.
func OnlyCI(t testing.TB, why string) {
	t.Helper()
	if !CI() {
		t.Skipf("%s: runs where KUBBI_CI is 1", why)
	}
}

// PythonSDK checks the relay at url with the official Python SDK.
func PythonSDK(ctx context.Context, t testing.TB, python, url, key string) {
	t.Helper()
	check := exec.CommandContext(ctx, python, filepath.Join(Root(t), "systemtest", "outside", "testdata", "python", "sdk_check.py"))
	check.Env = append(os.Environ(), "KUBBI_BASE_URL="+url, "KUBBI_API_KEY="+key,
		"NO_PROXY=127.0.0.1", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
	out, err := check.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte("12 passed, 0 failed")) {
		t.Errorf("sdk_check.py: %v", err)
	}
}

// DocProgram writes a program that consists of the code of one language below a heading
// of docs/wire.md and of a check that uses this code. It returns the program's path.
func DocProgram(t testing.TB, heading, language, check string) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(Root(t), "docs", "wire.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, doc, _ = bytes.Cut(doc, []byte("\n## "+heading+"\n"))
	doc, _, _ = bytes.Cut(doc, []byte("\n## "))
	found := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(doc, -1)
	if len(found) != 1 {
		t.Fatalf("docs/wire.md has %d pieces of %s below %q, want 1", len(found), language, heading)
	}
	rest, err := os.ReadFile(check)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), filepath.Base(check))
	if err := os.WriteFile(path, append(append(found[0][1], '\n'), rest...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
