package wine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// winePatience is how long a test waits for a program under Wine.
const winePatience = 15 * time.Minute

// wine is a Windows for tests: Debian's Wine over a folder, without a display, and with
// the DLL that Go needs and Wine 8 lacks.
type wine struct {
	program string
	prefix  string
	exe     string // our program
}

// found gives the first of these programs that exists.
func found(programs ...string) string {
	for _, p := range programs {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	return ""
}

// newWine makes a Windows, and runs meanwhile at the same time.
func newWine(t *testing.T, meanwhile func()) *wine {
	t.Helper()
	w := &wine{program: found("wine64", "/usr/lib/wine/wine64", "wine")}
	server := found("wineserver", "wineserver64", "/usr/lib/wine/wineserver64", "/usr/lib/wine/wineserver")
	compiler := found("x86_64-w64-mingw32-gcc")
	if w.program == "" || server == "" || compiler == "" || runtime.GOARCH != "amd64" {
		testkit.Missing(t, "no wine64 and x86_64-w64-mingw32-gcc for amd64 here; .ci/run installs them")
	}
	go meanwhile()
	w.prefix = t.TempDir()
	t.Cleanup(func() {
		// Ends the programs of this prefix, and no others.
		if err := w.host(server, "-k").Run(); err != nil {
			t.Logf("end of wineserver: %v", err)
		}
		_ = w.host(server, "-w").Run() // until all have ended
	})
	// They get no pipe: the processes that they start would keep it open.
	if err := w.host(server, "-p").Run(); err != nil {
		t.Fatalf("wineserver: %v", err)
	}
	if err := w.run(t, "wineboot", "-i").Run(); err != nil {
		t.Fatalf("wineboot: %v", err)
	}
	dll := filepath.Join(w.prefix, "drive_c", "windows", "system32", "bcryptprimitives.dll")
	source := filepath.Join("testdata", "bcryptprimitives.c")
	if out, err := exec.Command(compiler, "-shared", "-O2", "-s", "-Wall", "-Werror", "-o", dll, source, "-ladvapi32").CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", source, err, out)
	}
	return w
}

// host is a program of this machine that works on the prefix.
func (w *wine) host(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = []string{
		"WINEPREFIX=" + w.prefix, "WINEARCH=win64", "WINEDEBUG=-all",
		"WINEDLLOVERRIDES=mscoree,mshtml,winemenubuilder.exe=", // nothing to ask for, no menus
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.prefix,
		"LC_ALL=C.UTF-8", // else file names lose their letters
	}
	return cmd
}

// run is a Windows program. The process can be killed.
func (w *wine) run(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), winePatience)
	t.Cleanup(cancel)
	made := w.host(w.program, append([]string{program}, args...)...)
	cmd := exec.CommandContext(ctx, made.Path, made.Args[1:]...)
	cmd.Env = made.Env
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// path is the path of a file of drive C on this machine.
func (w *wine) path(windows string) string {
	rest, ok := strings.CutPrefix(windows, `C:\`)
	if !ok {
		panic(windows + " is not on drive C")
	}
	return filepath.Join(w.prefix, "drive_c", filepath.Join(strings.Split(rest, `\`)...))
}

// cross builds the program and the tests of packages of the module in root for Windows into a
// folder. It builds as a release does, so that a package that a release needs is compiled once
// for both.
func cross(ctx context.Context, root, dir string, packages []string) error {
	flags := []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w"}
	program := slices.Concat([]string{"build"}, flags, []string{"-o", filepath.Join(dir, "kubbi-mcp.exe"), "."})
	tests := slices.Concat([]string{"test", "-c", "-vet=off"}, flags, []string{"-o", dir + string(filepath.Separator)}, packages)
	for _, args := range [][]string{program, tests} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOEXPERIMENT=jsonv2", "GOOS=windows", "GOARCH=amd64", "GOAMD64=v1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}
