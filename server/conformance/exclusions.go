package conformance

import (
	"slices"
	"strings"
	"testing"
)

// exclusion is a line of the table in docs/conformance.md: its first three
// cells.
type exclusion struct {
	scenario string
	check    string // an id, nothing, or everything
	releases []string
}

// Stand in the place of a check's id.
const (
	nothing    = "none" // the scenario checks nothing
	everything = "all"  // every check of the scenario may fail
)

// parseExclusions reads the rows `| scenario | check | release | ... |` whose
// first cell is code.
func parseExclusions(page string) []exclusion {
	var all []exclusion
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| `") || len(cells) < 3 {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		all = append(all, exclusion{scenario: cells[0], check: cells[1], releases: strings.Fields(cells[2])})
	}
	return all
}

// exclusionsOf gives what is excluded of a scenario.
func (s *Suite) exclusionsOf(scenario, release string) []string {
	var ids []string
	for _, e := range s.exclusions {
		if e.scenario == scenario && slices.Contains(e.releases, release) {
			ids = append(ids, e.check)
		}
	}
	return ids
}

// covers finds which of the excluded checks a check is.
func covers(excluded []string, check string) (string, bool) {
	for _, id := range excluded {
		if id == check || id == everything && check != wire {
			return id, true
		}
	}
	return "", false
}

// EveryExclusion fails a test that has run everything for exclusions of what
// there is not.
func (s *Suite) EveryExclusion(t *testing.T) {
	t.Helper()
	for _, e := range s.exclusions {
		for _, release := range e.releases {
			if !s.judged[e.scenario+" "+release] {
				t.Errorf("docs/conformance.md excludes %q of %s, which was not run", e.scenario, release)
			}
		}
	}
}
