package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOfGoRun tells the programs that `go run` removes again from those that stay.
func TestOfGoRun(t *testing.T) {
	temp, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		filepath.Join(temp, "go-build1234", "b001", "exe", "kubbi-mcp"):          true,
		filepath.Join("cache", "0b", strings.Repeat("0b", 32)+"-d", "kubbi-mcp"): true,
		filepath.Join(temp, "kubbi-mcp"):                                         false,
		filepath.Join(filepath.Dir(temp), "go-build", "kubbi-mcp"):               false,
		filepath.Join(string(filepath.Separator), "opt", "kubbi", "kubbi-mcp"):   false,
	} {
		if got := ofGoRun(path); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}
