//go:build unix && !darwin

package clipboard_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kubbi-mcp/internal/clipboard"
	"kubbi-mcp/internal/testkit"
)

// TestCopy copies with a program of the test's own.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("WSL_DISTRO_NAME", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	t.Setenv("DISPLAY", "")
	if err := clipboard.Copy(t.Context(), "x"); !errors.Is(err, clipboard.ErrNone) || clipboard.Available() {
		t.Errorf("without a desktop: %v", err)
	}
	got := filepath.Join(dir, "got")
	testkit.WriteProgram(t, filepath.Join(dir, "wl-copy"), []byte("#!/bin/sh\ncat > "+got+"; echo \"$@\" > "+got+".args\n"))
	t.Setenv("WAYLAND_DISPLAY", "wayland-0")
	if err := clipboard.Copy(t.Context(), "the canary"); err != nil || !clipboard.Available() {
		t.Fatal(err)
	}
	text, err := os.ReadFile(got)
	args, aerr := os.ReadFile(got + ".args")
	if err != nil || aerr != nil || string(text) != "the canary" || string(args) != "--type text/plain\n" {
		t.Errorf("%q, %q, %v, %v", text, args, err, aerr)
	}
	testkit.WriteProgram(t, filepath.Join(dir, "wl-copy"), []byte("#!/bin/sh\nexit 3\n"))
	if err := clipboard.Copy(t.Context(), "x"); err == nil {
		t.Error("its failure is no error")
	}
}
