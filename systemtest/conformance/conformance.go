// Package conformance runs the official MCP conformance suite against a server and
// compares the findings with the exclusions in docs/conformance.md: a check that fails
// must be listed there, and a check that is listed there must fail.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// runTimeout is for one run of the suite.
const runTimeout = 2 * time.Minute

// Releases of the suite.
const (
	Release = "0.1.16"
	Preview = "0.2.0-alpha.12" // knows protocol version 2026-07-28, and extensions
)

// Suite is an installed suite, and Node.js to run it.
type Suite struct {
	dir        string // node_modules
	exclusions []exclusion
	judged     map[string]bool // scenario and release of what was run
}

// Run is one run of the suite.
type Run struct {
	Release   string
	URL       string   // of the server's streamable HTTP endpoint
	Version   string   // of the protocol; "": each scenario's own choice
	Scenarios []string // that are judged; nil: all
	Fewest    int      // scenarios that must run, so that none is lost
}

// check is one finding of the suite.
type check struct {
	ID      string          `json:"id"`
	Status  string          `json:"status"`
	Message string          `json:"errorMessage"`
	Details json.RawMessage `json:"details"`
}

// Open opens the suite in the folder KUBBI_CONFORMANCE. Without it the test is skipped,
// or fails if KUBBI_CI is set. docs is the path of the page with the exclusions.
func Open(t *testing.T, docs string) *Suite {
	t.Helper()
	dir := os.Getenv("KUBBI_CONFORMANCE")
	if dir == "" {
		const message = "KUBBI_CONFORMANCE does not say where the conformance suite is; .ci/run installs it"
		if os.Getenv("KUBBI_CI") == "1" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return &Suite{dir: dir, exclusions: parseExclusions(string(page)), judged: make(map[string]bool)}
}

// Run runs the whole suite, since its program takes longer to start than a scenario takes. A
// subtest judges each scenario.
func (s *Suite) Run(t *testing.T, r Run) {
	t.Helper()
	found := s.results(t, r)
	if len(found) < r.Fewest {
		t.Errorf("the suite ran %d scenarios, there were %d", len(found), r.Fewest)
	}
	names := r.Scenarios
	if names == nil {
		names = slices.Sorted(maps.Keys(found))
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) { s.judge(t, r, name, found[name]) })
	}
}

// results runs the suite and reads the results that it writes: a folder for each
// scenario.
func (s *Suite) results(t *testing.T, r Run) map[string][]check {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	out := t.TempDir()
	args := []string{filepath.Join(s.dir, "conformance-"+r.Release, "dist", "index.js"), "server", "--url", r.URL, "-o", out, "--suite", "all"}
	if r.Version != "" {
		args = append(args, "--spec-version", r.Version)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.dir, ".bin", "node"), args...)
	cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "NO_COLOR=1")
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	err := cmd.Run() // fails if a check fails; judge looks at that
	folders, globErr := filepath.Glob(filepath.Join(out, "server-*", "checks.json"))
	if globErr != nil {
		t.Fatal(globErr)
	}
	if len(folders) == 0 {
		t.Fatalf("the suite left no results: %v\n%s", err, printed.String())
	}
	found := make(map[string][]check)
	for _, path := range folders {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var checks []check
		if err := json.Unmarshal(b, &checks); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		name := stamp.ReplaceAllString(filepath.Base(filepath.Dir(path)), "")
		found[strings.TrimPrefix(name, "server-")] = checks
	}
	return found
}

// stamp matches the time in the name of a scenario's folder.
var stamp = regexp.MustCompile(`-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d+Z$`)

// wire is the check of all messages against the protocol's schema. Every scenario of
// the preview has it; alone it proves nothing.
const wire = "wire-schema-valid"

// judge fails the test if a scenario has other results than docs/conformance.md says:
// worse or better ones.
func (s *Suite) judge(t *testing.T, r Run, scenario string, checks []check) {
	t.Helper()
	s.judged[scenario+" "+r.Release] = true
	listed := s.exclusionsOf(scenario, r.Release)
	done, needed := 0, make(map[string]bool)
	for _, c := range checks {
		switch c.Status {
		case "SUCCESS":
			if c.ID != wire {
				done++
			}
		case "FAILURE", "WARNING":
			done++
			if id, ok := covers(listed, c.ID); ok {
				needed[id] = true
				t.Logf("excluded: %s %s: %s", c.Status, c.ID, c.Message)
				continue
			}
			t.Errorf("%s %s: %s\n%.2000s", c.Status, c.ID, c.Message, c.Details)
		}
	}
	if done == 0 {
		if slices.Contains(listed, nothing) {
			needed[nothing] = true
		} else {
			t.Error("nothing was checked")
		}
	}
	for _, id := range listed {
		if !needed[id] {
			t.Errorf("docs/conformance.md excludes %q, which passes", id)
		}
	}
}
