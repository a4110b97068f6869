package cli

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPagesAreFew keeps the pages few and short, and each of them within reach of
// README.md.
func TestPagesAreFew(t *testing.T) {
	readme := readDoc(t, "README.md")
	n := 0
	for name, text := range pages(t) {
		most := 400
		if name == "README.md" {
			most = 70
		}
		if lines := strings.Count(text, "\n"); lines > most {
			t.Errorf("%s has %d lines, and may have %d", name, lines, most)
		}
		if strings.HasPrefix(name, "docs/") {
			n++
		}
		if name != "README.md" && !strings.Contains(readme, "]("+name+")") {
			t.Errorf("README.md does not link %s", name)
		}
	}
	if n > 10 {
		t.Errorf("docs has %d pages, and may have 10", n)
	}
}

// fences is code between lines of three backticks.
var fences = regexp.MustCompile("(?ms)^```.*?^```")

// anchors are the anchors of a page's headings, as code hosts make them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
		var b strings.Builder
		for _, r := range strings.ToLower(m[1]) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				b.WriteRune(r)
			}
		}
		all[b.String()] = true
	}
	return all
}

// TestLinks follows every link of every page that does not leave the tree, to its
// file and its heading.
func TestLinks(t *testing.T) {
	all := pages(t)
	links := 0
	for name, text := range all {
		text = fences.ReplaceAllString(text, "")
		found := regexp.MustCompile(`\]\(([^)\s]+)\)|<img src="([^"]+)"`).FindAllStringSubmatch(text, -1)
		for _, m := range found {
			link := m[1] + m[2]
			if strings.Contains(link, "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(link, "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links %s: %v", name, link, err)
			} else if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s links %s, and %s has no such heading", name, link, target)
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links", links)
	}
}

// TestCodeNamesPages finds every page that code, scripts or deployed files name.
func TestCodeNamesPages(t *testing.T) {
	samples := []string{"docs/report.md", "docs/x.md"} // what tests send
	named := 0
	walkTree(t, func(name string, text func() string) {
		if ext := path.Ext(name); ext == ".png" || ext == ".md" || strings.Contains(name, "testdata/fuzz/") {
			return
		}
		for _, page := range regexp.MustCompile(`\bdocs/[a-z-]+\.md\b`).FindAllString(text(), -1) {
			named++
			if _, err := os.Stat(filepath.Join("..", page)); err != nil && !slices.Contains(samples, page) {
				t.Errorf("%s names %s, which is not there", name, page)
			}
		}
	})
	if named < 30 {
		t.Errorf("only %d names of pages", named)
	}
}

// testFunctions are the tests, fuzz targets and examples of each folder.
func testFunctions(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
	walkTree(t, func(name string, text func() string) {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range function.FindAllStringSubmatch(text(), -1) {
				all[path.Dir(name)] = append(all[path.Dir(name)], m[1])
			}
		}
	})
	return all
}

// TestPagesNameRealTests finds every test that a page names: as folder.TestName, as
// TestName alone, or in a command as go test ./folder -run TestName.
func TestPagesNameRealTests(t *testing.T) {
	tests := testFunctions(t)
	everywhere := slices.Concat(slices.Collect(maps.Values(tests))...)
	n := 0
	for name, text := range pages(t) {
		for _, m := range regexp.MustCompile("`(?:([a-z0-9/]+)\\.)?((?:Test|Fuzz)[A-Z]\\w*)`").FindAllStringSubmatch(text, -1) {
			n++
			known := everywhere
			if m[1] != "" {
				known = tests[m[1]]
			}
			if !slices.Contains(known, m[2]) {
				t.Errorf("%s names %s, and there is no such test", name, strings.Trim(m[0], "`"))
			}
		}
		for _, m := range regexp.MustCompile(`go test ((?:\./?[a-z0-9/]* )+)[^\n]*-run '?((?:Test|Fuzz)[A-Z]\w*)`).FindAllStringSubmatch(text, -1) {
			n++
			if !slices.ContainsFunc(strings.Fields(m[1]), func(folder string) bool {
				return slices.Contains(tests[path.Clean(folder)], m[2])
			}) {
				t.Errorf("%s runs %s, and there is no such test", name, m[0])
			}
		}
	}
	if n < 120 {
		t.Errorf("only %d names of tests", n)
	}
}

// TestFuzzTargets finds every target of .ci/fuzz, and the target of every folder of
// kept inputs: go test runs those of a target in its own package only.
func TestFuzzTargets(t *testing.T) {
	tests := testFunctions(t)
	targets := regexp.MustCompile(`(?m)^\t([a-z/]+)/(Fuzz\w+) +#`).FindAllStringSubmatch(readDoc(t, ".ci/fuzz"), -1)
	if len(targets) < 5 {
		t.Errorf("only %d targets in .ci/fuzz", len(targets))
	}
	walkTree(t, func(name string, _ func() string) {
		if m := regexp.MustCompile(`^([a-z/]+)/testdata/fuzz/(\w+)/`).FindStringSubmatch(name); m != nil {
			targets = append(targets, m)
		}
	})
	for _, m := range targets {
		if !slices.Contains(tests[m[1]], m[2]) {
			t.Errorf("%s: there is no %s in %s", strings.TrimSpace(m[0]), m[2], m[1])
		}
	}
}

// TestWineNamesRealTests finds every test that systemtest/wine picks or leaves out by
// its name. A test that was renamed or has moved would be lost there in silence.
func TestWineNamesRealTests(t *testing.T) {
	tests := testFunctions(t)
	var folder string
	names := 0
	for line := range strings.Lines(readDoc(t, "systemtest/wine/wine_test.go")) {
		if m := regexp.MustCompile(`{folder: "([a-z/]+)"`).FindStringSubmatch(line); m != nil {
			folder = m[1]
		}
		for _, m := range regexp.MustCompile(`["|](Test\w+)`).FindAllStringSubmatch(line, -1) {
			names++
			if !slices.Contains(tests[folder], m[1]) {
				t.Errorf("systemtest/wine names %s of %s, and there is no such test", m[1], folder)
			}
		}
	}
	if names < 10 {
		t.Errorf("only %d names of tests", names)
	}
}

// TestPagesNameRealPaths finds every path of the tree that a page names as code,
// and what a row of CONTRIBUTING.md's map names in its file.
func TestPagesNameRealPaths(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	var top []string
	for _, e := range entries {
		if e.IsDir() {
			top = append(top, regexp.QuoteMeta(e.Name()))
		}
	}
	inTree := regexp.MustCompile("`((?:" + strings.Join(top, "|") + ")/[A-Za-z0-9_./-]*)`")
	n := 0
	for name, text := range pages(t) {
		for _, m := range inTree.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
			if regexp.MustCompile(`\.(Test|Fuzz)[A-Z]`).MatchString(m[1]) {
				continue // TestPagesNameRealTests
			}
			if strings.Contains(m[1], "NAME") || m[1] == "tools/list" {
				continue // a name to choose, a method of MCP
			}
			n++
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s names %s, which is not there", name, m[1])
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d paths", n)
	}

	answers := 0
	row := regexp.MustCompile(`(?m)^\| (\d+) \|[^|]*\| ([^|]+) \|([^|]*)\|`)
	questions := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(readDoc(t, "CONTRIBUTING.md"), -1) {
		questions[m[1]] = true
		file := code.FindStringSubmatch(m[2])
		if file == nil {
			continue // a page, whose link TestLinks follows
		}
		answers++
		source := readDoc(t, file[1])
		for _, name := range code.FindAllStringSubmatch(m[3], -1) {
			if !regexp.MustCompile(`(?m)^(?:func|type|const|var|\t)[^\n]*\b` + regexp.QuoteMeta(name[1]) + `\b`).MatchString(source) {
				t.Errorf("CONTRIBUTING.md: %s has no %s", file[1], name[1])
			}
		}
	}
	if answers < 7 || len(questions) != 10 {
		t.Errorf("CONTRIBUTING.md answers %d questions, %d times with a file", len(questions), answers)
	}
}

// TestThreatModel keeps the threat model in docs/security.md from saying that
// somebody can't do something without a test that shows it.
// TestPagesNameRealTests finds these.
func TestThreatModel(t *testing.T) {
	_, text, found := strings.Cut(readDoc(t, "docs/security.md"), "\n## Threat model\n")
	model, _, ended := strings.Cut(text, "\n## ")
	if !found || !ended {
		t.Fatal("docs/security.md has no threat model")
	}
	named := regexp.MustCompile("`(?:[a-z/]+\\.)?(?:Test|Fuzz)[A-Za-z0-9]+`")
	rows := 0
	for line := range strings.Lines(model) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| can't |") && !strings.HasPrefix(line, "| who |") {
			rows++
			if !named.MatchString(line) && !strings.Contains(line, "no test yet") {
				t.Errorf("no test shows: %s", line)
			}
		}
	}
	if rows < 50 {
		t.Errorf("looked at %d rows only", rows)
	}
}
