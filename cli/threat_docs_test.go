package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestThreatModel keeps docs/threat-model.md from naming a test that is not there,
// and from saying that somebody can't do something without one.
func TestThreatModel(t *testing.T) {
	named := regexp.MustCompile("`([a-z/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")
	rows := 0
	for line := range strings.Lines(readDoc(t, "docs/threat-model.md")) {
		tests := named.FindAllStringSubmatch(line, -1)
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| can't |") && !strings.HasPrefix(line, "| who |") {
			rows++
			if len(tests) == 0 && !strings.Contains(line, "no test yet") {
				t.Errorf("no test shows: %s", line)
			}
		}
		for _, m := range tests {
			files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(m[1]), "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, name := range files {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				found = found || strings.Contains(string(b), "\nfunc "+m[2]+"(")
			}
			if !found {
				t.Errorf("there is no %s in %s", m[2], m[1])
			}
		}
	}
	if rows < 50 {
		t.Errorf("looked at %d rows only", rows)
	}
}
