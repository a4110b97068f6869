package conformance

import (
	"slices"
	"strings"
	"testing"
)

// exclusion is a row of the table in docs/conformance.md.
type exclusion struct {
	scenario string
	check    string // the id of a check, nothing or everything
	releases []string
}

// Instead of the id of a check.
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

// exclusionsOf gives the checks of a scenario that are excluded.
func (s *Suite) exclusionsOf(scenario, release string) []string {
	var ids []string
	for _, e := range s.exclusions {
		if e.scenario == scenario && slices.Contains(e.releases, release) {
			ids = append(ids, e.check)
		}
	}
	return ids
}

// covers finds the exclusion that a check belongs to.
func covers(excluded []string, check string) (string, bool) {
	for _, id := range excluded {
		if id == check || id == everything && check != wire {
			return id, true
		}
	}
	return "", false
}

// EveryExclusion fails the test, which must have run everything, if an exclusion names
// a scenario that was not run.
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
