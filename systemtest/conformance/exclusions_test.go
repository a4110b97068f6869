package conformance

import (
	"os"
	"strings"
	"testing"
)

// TestExclusions checks that all rows of the page can be read, and give a reason.
func TestExclusions(t *testing.T) {
	b, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "## Exclusions")
	if !ok {
		t.Fatal("no such section")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	rows := strings.Count(table, "\n|") - 2 // the head
	all := parseExclusions(string(b))
	if len(all) != rows || rows < 1 {
		t.Errorf("%d of %d rows are read", len(all), rows)
	}
	for _, e := range all {
		if e.scenario == "" || e.check == "" || len(e.releases) == 0 {
			t.Errorf("incomplete: %+v", e)
		}
		for _, r := range e.releases {
			if r != Release && r != Preview {
				t.Errorf("%s: no release %q is run", e.scenario, r)
			}
		}
	}
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| `") && len(strings.Split(line, " | ")) != 5 {
			t.Errorf("not five cells: %s", line)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		excluded string
		check    string
		want     bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{nothing, "a", false},
		{everything, "a", true},
		{everything, wire, false},
		{wire, wire, true},
	} {
		if _, got := covers([]string{tt.excluded}, tt.check); got != tt.want {
			t.Errorf("%q covers %q: %v", tt.excluded, tt.check, got)
		}
	}
}
