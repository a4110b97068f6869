// Package wine runs the Windows program, and tests of packages that touch the system,
// under Wine.
package wine

import (
	"archive/zip"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// carriedPackage is a package whose own tests run under Wine.
type carriedPackage struct {
	folder string
	only   string // of its tests; "": all

	// Tests that can't pass there, with the reason. They are run as well and must fail, so
	// that the list stays true.
	cannot map[string]string
	// Tests of what no system does otherwise. They take long under Wine, and are left out.
	alike []string
}

var carried = []carriedPackage{
	{folder: "relay/store/sqlite", alike: []string{"TestDamageMetLater", "TestLastPage", "TestTamperedRows"}},
	{folder: "relay/store/body"},
	{folder: "internal/spool"},
	{folder: "relay/local", alike: []string{"TestMemoryStaysFlat"}},
	{folder: "internal/private"},
	{folder: "internal/handles"},
	{folder: "internal/atrest"},
	{folder: "internal/disk"},
	{folder: "tools", alike: []string{"TestLyingInspect", "TestLyingMemory", "TestSealedForgedLeavesNothing"}},
	{folder: "tools/args"},
	{folder: "tools/claims"},
	{folder: "tools/consent"},
	{folder: "tools/files", cannot: map[string]string{
		"TestAttacksOnReading":     noLinks,
		"TestAttacksOnWriting":     noLinks,
		"TestDenied":               noLinks,
		"TestFoundNames":           "it makes a file aux.c, which Windows takes for a device",
		"TestExpandMeetsLink":      noLinks,
		"TestNestedFolders":        noLinks,
		"TestRead":                 noLinks,
		"TestSwappedDuringTheCall": noLinks,
	}},
	{folder: "server", only: "TestTranscripts|TestCallLine"},
	{folder: "server/transport", only: "TestEndsWithContext|TestBrokenStdout"},
}

const (
	noLinks = "Wine 8 says that it has made a symbolic link, and makes none"
)

// TestWine runs the program and its tests on Windows, as far as Wine is one.
func TestWine(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and starts a Windows")
	}
	dir := t.TempDir()
	built := make(chan error, 1)
	var packages []string
	for _, p := range carried {
		packages = append(packages, "./"+p.folder)
	}
	w := newWine(t, func() { built <- cross(t.Context(), testkit.Root(t), dir, packages) })
	if err := <-built; err != nil {
		t.Fatal(err)
	}
	w.exe = filepath.Join(dir, "kubbi-mcp.exe")

	t.Run("program", func(t *testing.T) {
		t.Run("version", w.version)
		t.Run("demo", w.demo)
		t.Run("archive", w.archive)
		t.Run("default place", w.defaultPlace)
		t.Run("run", w.runs)
		t.Run("stdio", w.stdio)
		t.Run("killed", w.killed)
		t.Run("host goes away", w.hostGoesAway)
	})
	t.Run("tests", func(t *testing.T) {
		for _, p := range carried {
			t.Run(p.folder, func(t *testing.T) {
				t.Parallel()
				w.tests(t, filepath.Join(dir, filepath.Base(p.folder)+".test.exe"), p)
			})
		}
	})
}

var outcome = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+)`)

// tests runs a package's tests. Those in cannot must fail, those in alike are left out, and
// all others must pass.
func (w *wine) tests(t *testing.T, exe string, p carriedPackage) {
	failing := slices.Sorted(maps.Keys(p.cannot))
	out, err := w.test(t, exe, p.folder, "-test.timeout=12m", "-test.run="+p.only, "-test.skip="+names(slices.Concat(failing, p.alike)))
	count, failed := map[string]int{}, []string(nil)
	for _, m := range outcome.FindAllStringSubmatch(out, -1) {
		if count[m[1]]++; m[1] == "FAIL" {
			failed = append(failed, m[2])
		}
	}
	if err != nil || len(failed) > 0 || count["PASS"] == 0 {
		t.Errorf("%v: %v, failed %q\n%s", err, count, failed, tail(out))
	}
	t.Logf("%v", count)
	if len(failing) == 0 {
		return
	}
	out, err = w.test(t, exe, p.folder, "-test.timeout=20s", "-test.run="+names(failing))
	if err == nil {
		t.Error("all that Wine can't carry has passed")
	}
	for _, m := range outcome.FindAllStringSubmatch(out, -1) {
		if m[1] == "PASS" && p.cannot[m[2]] != "" {
			t.Errorf("Wine does carry %s: take it off the list", m[2])
		}
	}
}

// names is the pattern of these tests, and no others.
func names(tests []string) string {
	if len(tests) == 0 {
		return ""
	}
	return "^(" + strings.Join(tests, "|") + ")$"
}

func (w *wine) test(t *testing.T, exe, folder string, args ...string) (string, error) {
	cmd := w.run(t, exe, append([]string{"-test.v", "-test.short"}, args...)...)
	cmd.Env = append(cmd.Env, "KUBBI_WINE_TEST=1")
	cmd.Dir = filepath.Join(testkit.Root(t), filepath.FromSlash(folder))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var passing = regexp.MustCompile(`(?m)^ *(--- PASS|=== ).*\r?\n`)

// tail is the end of an output, without tests that passed.
func tail(out string) string {
	out = passing.ReplaceAllString(out, "")
	const most = 8 << 10
	return out[max(0, len(out)-most):]
}

// said runs the program to its end, and returns its output.
func (w *wine) said(t *testing.T, args ...string) string {
	t.Helper()
	cmd := w.run(t, w.exe, args...)
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = exit.Stderr
		}
		t.Fatalf("kubbi-mcp %q: %v\n%s%s", args, err, out, stderr)
	}
	return string(out)
}

func (w *wine) version(t *testing.T) {
	if out := w.said(t, "version"); !strings.Contains(out, "windows/amd64") {
		t.Error(out)
	}
}

// demo checks that the demo succeeds and leaves nothing behind.
func (w *wine) demo(t *testing.T) {
	if out := w.said(t, "demo"); !strings.Contains(out, "All 6 checks hold") {
		t.Error(out)
	}
	left, err := filepath.Glob(filepath.Join(w.prefix, "drive_c", "users", "*", "Temp", "kubbi-demo-*"))
	if more, merr := filepath.Glob(filepath.Join(w.prefix, "drive_c", "users", "*", "AppData", "Local", "Temp", "kubbi-demo-*")); err == nil {
		left, err = append(left, more...), merr
	}
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// archive runs the program of a release's archive.
func (w *wine) archive(t *testing.T) {
	dist := testkit.Needs(t, "KUBBI_DIST", "a release (go -C release run .)")
	found, err := filepath.Glob(filepath.Join(dist, "*_windows_amd64.zip"))
	if err != nil || len(found) != 1 {
		t.Fatalf("archives %q, %v", found, err)
	}
	z, err := zip.OpenReader(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	dir := t.TempDir()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	released := *w
	released.exe = filepath.Join(dir, "kubbi-mcp.exe")
	released.demo(t)
}

// defaultPlace checks the default data directory.
func (w *wine) defaultPlace(t *testing.T) {
	url := strings.TrimSpace(w.said(t, "send", "at home"))
	if got := w.said(t, "claim", url); got != "at home" {
		t.Errorf("claimed %q", got)
	}
	stores, err := filepath.Glob(filepath.Join(w.prefix, "drive_c", "users", "*", "AppData", "Local", "kubbi", "kubbi.db"))
	if err != nil || len(stores) != 1 {
		t.Errorf("stores: %v, %v", stores, err)
	}
}
