package memory

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnePlace looks for calls that steer the collector outside of this package, where
// nobody would look for the measurement behind them.
func TestOnePlace(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || filepath.Dir(path) == filepath.Join(root, "internal", "memory") {
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, call := range []string{"runtime.GC(", "debug.FreeOSMemory(", "debug.SetGCPercent(", "debug.SetMemoryLimit("} {
			if strings.Contains(string(text), call) {
				t.Errorf("%s calls %s)", path, call)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files were searched", files)
	}
}
