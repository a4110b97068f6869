package cli

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"kubbi-mcp/internal/hostfile"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
)

// The tests in this file hold the pages against the program: flags, variables,
// defaults, commands, exit codes and metrics. Those in docs_pages_test.go hold
// them against each other and against the tree.

// pages are all pages that people read, by their path in the tree.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
			all[name] = readDoc(t, name)
		}
	}
	if len(all) < 12 {
		t.Fatalf("only %d pages", len(all))
	}
	return all
}

// readDoc reads a file by its path in the tree.
func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// commands are all commands that do something, by their words, as "keys create".
func commands(t *testing.T) map[string]*kong.Node {
	t.Helper()
	all := map[string]*kong.Node{}
	for _, leaf := range commandModel(t).Leaves(true) {
		var words []string
		for n := leaf; n != nil && n.Type == kong.CommandNode; n = n.Parent {
			words = append([]string{n.Name}, words...)
		}
		all[strings.Join(words, " ")] = leaf
	}
	return all
}

// TestExample keeps mcp.json.example something that a host can use.
func TestExample(t *testing.T) {
	type server struct {
		Command string            `json:"command"`
		Args    []string          `json:"args"`
		Env     map[string]string `json:"env"`
	}
	var example struct {
		Servers map[string]server `json:"mcpServers"`
	}
	d := json.NewDecoder(strings.NewReader(readDoc(t, "mcp.json.example")))
	d.DisallowUnknownFields()
	if err := d.Decode(&example); err != nil {
		t.Fatal(err)
	}
	known := programVariables(t)
	keys := 0
	for name, s := range example.Servers {
		if filepath.Base(s.Command) != "kubbi-mcp" {
			t.Errorf("%s: command %q", name, s.Command)
		}
		accepts(t, s.Args...)
		for variable := range s.Env {
			if !known[variable] {
				t.Errorf("%s: %s is no variable of ours", name, variable)
			}
		}
		if s.Env["KUBBI_API_KEY"] != "" {
			keys++
		}
	}
	if len(example.Servers) != 2 || keys != 1 {
		t.Errorf("%d servers, %d with a key; want an embedded and a hosted one", len(example.Servers), keys)
	}
	for name, text := range pages(t) {
		snippets := regexp.MustCompile("`(\\{\"servers.*\\})`").FindAllStringSubmatch(text, -1)
		snippets = append(snippets, regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(text, -1)...)
		for _, snippet := range snippets {
			d := json.NewDecoder(strings.NewReader(snippet[1])) // several values are lines of a log
			for d.More() {
				if err := d.Decode(new(any)); err != nil {
					t.Errorf("%s: %v: %s", name, err, snippet[1])
					break
				}
			}
		}
	}
}

// accepts runs a command line up to its help, which parses all of it first.
func accepts(t *testing.T, args ...string) {
	t.Helper()
	var out bytes.Buffer
	none := func(string) string { return "" }
	if err := Run(t.Context(), append(args, "--help"), none, strings.NewReader(""), &out, &out); err != nil {
		t.Errorf("%v: %v", args, err)
	}
	if out.Len() == 0 {
		t.Errorf("%v: no help", args)
	}
}

// documentedFlag is a row of a table in docs/configuration.md.
type documentedFlag struct {
	names         []string // as --output and -o; the first is the flag's own
	repeatable    bool
	variable      string
	standard      string // the default, empty if it is not a literal
	commands      []string
	line, heading string
}

var code = regexp.MustCompile("`([^`]+)`")

// documentedFlags reads the tables of docs/configuration.md. The heading above a
// table names the commands that have its flags, as code.
func documentedFlags(t *testing.T) []documentedFlag {
	t.Helper()
	var all []documentedFlag
	var heading string
	for line := range strings.Lines(readDoc(t, "docs/configuration.md")) {
		line = strings.TrimSpace(line)
		if h, ok := strings.CutPrefix(line, "### "); ok {
			heading = h
		}
		if !strings.HasPrefix(line, "| `-") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 4 {
			t.Errorf("docs/configuration.md: a row without four cells: %s", line)
			continue
		}
		f := documentedFlag{line: line, heading: heading, repeatable: strings.Contains(cells[0], "repeatable")}
		for _, m := range code.FindAllStringSubmatch(cells[0], -1) {
			f.names = append(f.names, m[1])
		}
		for _, m := range code.FindAllStringSubmatch(heading, -1) {
			f.commands = append(f.commands, m[1])
		}
		if m := code.FindStringSubmatch(cells[1]); m != nil {
			f.variable = m[1]
		}
		if cell := strings.TrimSpace(cells[2]); strings.HasPrefix(cell, "`") {
			f.standard = strings.Trim(cell, "`")
		}
		all = append(all, f)
	}
	return all
}

// TestFlagsAreDocumented reads every flag, variable and default of the command
// line in docs/configuration.md, and every row there in the command line.
func TestFlagsAreDocumented(t *testing.T) {
	nodes := commands(t)
	nodes[""] = commandModel(t).Node // what all commands share
	rows := map[string]bool{}        // command and flag
	for _, row := range documentedFlags(t) {
		if len(row.commands) == 0 {
			row.commands = []string{""}
		}
		for _, command := range row.commands {
			node := nodes[command]
			if node == nil {
				t.Errorf("docs/configuration.md: the heading %q names no command %q", row.heading, command)
				continue
			}
			name := strings.TrimPrefix(row.names[0], "--")
			i := slices.IndexFunc(node.Flags, func(f *kong.Flag) bool { return f.Name == name })
			if i < 0 {
				t.Errorf("docs/configuration.md: %q has no flag --%s", command, name)
				continue
			}
			if rows[command+" --"+name] {
				t.Errorf("docs/configuration.md: --%s of %q has two rows", name, command)
			}
			rows[command+" --"+name] = true
			checkRow(t, row, node.Flags[i])
		}
	}
	for command, node := range nodes {
		for _, f := range node.Flags {
			if !f.Hidden && !rows[command+" --"+f.Name] {
				t.Errorf("docs/configuration.md has no row for --%s of %q", f.Name, command)
			}
			if !strings.HasSuffix(f.Help, ".") && f.Name != "help" {
				t.Errorf("the help of --%s of %q is no sentence", f.Name, command)
			}
		}
	}
	if len(rows) < 100 {
		t.Errorf("only %d rows", len(rows))
	}
}

// checkRow compares a row with the flag that it describes.
func checkRow(t *testing.T, row documentedFlag, f *kong.Flag) {
	t.Helper()
	want := []string{"--" + f.Name}
	if f.Short != 0 {
		want = append(want, "-"+string(f.Short))
	}
	for _, alias := range f.Aliases {
		want = append(want, "--"+alias)
	}
	if f.Tag.Negatable != "" {
		want = append(want, "--no-"+f.Name)
	}
	if !slices.Equal(row.names, want) {
		t.Errorf("docs/configuration.md: the flag's names are %q: %s", want, row.line)
	}
	if variable := f.Tag.Get("variable"); row.variable != variable {
		t.Errorf("docs/configuration.md: the variable is %q: %s", variable, row.line)
	}
	standard := f.Default
	if standard == "0" {
		standard = "" // stands for something that the page says in words
	}
	if row.standard != standard {
		t.Errorf("docs/configuration.md: the default is %q: %s", standard, row.line)
	}
	// Events are given with commas between, and so need no second flag.
	if repeatable := f.IsSlice() && f.Name != "notify-events"; row.repeatable != repeatable {
		t.Errorf("docs/configuration.md: repeatable is %v: %s", repeatable, row.line)
	}
}

// otherFlags are flags of other programs that the pages name in a sentence.
var otherFlags = []string{"env", "scope"}

// TestPagesNameRealFlags finds the flags and variables that any page names in the
// command line, and those of a whole command in that command.
func TestPagesNameRealFlags(t *testing.T) {
	all := slices.Clone(otherFlags)
	nodes := commands(t)
	for _, node := range append(slices.Collect(maps.Values(nodes)), commandModel(t).Node) {
		for _, f := range node.Flags {
			all = append(append(all, f.Name, "no-"+f.Name), f.Aliases...)
		}
	}
	known := programVariables(t)
	forTests := testVariables(t)
	flags, variables, whole := 0, 0, 0
	for name, text := range pages(t) {
		for _, m := range regexp.MustCompile("`--([a-z][a-z-]*)").FindAllStringSubmatch(text, -1) {
			flags++
			if !slices.Contains(all, m[1]) {
				t.Errorf("%s names --%s, which is no flag", name, m[1])
			}
		}
		for _, variable := range regexp.MustCompile(`\bKUBBI_[A-Z_]*[A-Z]\b`).FindAllString(text, -1) {
			variables++
			if !known[variable] && !forTests[variable] {
				t.Errorf("%s names %s, which nothing reads", name, variable)
			}
		}
		for _, m := range regexp.MustCompile("(?:kubbi-mcp|kubbi-relay-admin) ([a-z][^|;&)#`\n]*)").FindAllStringSubmatch(text, -1) {
			words := strings.Fields(m[1])
			node := commandModel(t).Node
			for len(words) > 0 {
				i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == words[0] })
				if i < 0 {
					break
				}
				node, words = node.Children[i], words[1:]
			}
			if node.DefaultCmd != nil {
				node = node.DefaultCmd
			}
			for _, word := range words {
				flag, ok := strings.CutPrefix(word, "--")
				if !ok || flag == "" || flag == "looks-like-a-flag" {
					continue
				}
				whole++
				if !hasFlag(node, strings.TrimRight(strings.SplitN(flag, "=", 2)[0], ".,:\"'")) {
					t.Errorf("%s: %s has no flag --%s", name, m[0], flag)
				}
			}
		}
	}
	if flags < 100 || variables < 80 || whole < 40 {
		t.Errorf("only %d flags, %d variables, %d flags of whole commands", flags, variables, whole)
	}
}

// hasFlag reports whether a command or one above it has a flag.
func hasFlag(n *kong.Node, name string) bool {
	for ; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if f.Name == name || slices.Contains(f.Aliases, name) {
				return true
			}
		}
	}
	return false
}

// testVariables are the variables that tests and .ci/run read.
func testVariables(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	walkTree(t, func(path string, text func() string) {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "internal/testkit/") || path == ".ci/run" || strings.HasSuffix(path, "pgtest.go") || strings.HasSuffix(path, "conformance.go") {
			for _, name := range regexp.MustCompile(`\bKUBBI_[A-Z_]*[A-Z]\b`).FindAllString(text(), -1) {
				all[name] = true
			}
		}
	})
	return all
}

// TestCommandsAreDocumented finds every command and every exit code in
// docs/use.md, and every exit code there in the help.
func TestCommandsAreDocumented(t *testing.T) {
	page := readDoc(t, "docs/use.md")
	var table string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "| `") {
			table += strings.SplitN(line, " | ", 2)[0] + "\n"
		}
	}
	for command := range commands(t) {
		args := strings.Fields(command)
		switch command {
		case "inspect", "claim", "get", "delete", "keys revoke":
			args = append(args, "x")
		case "keys create":
			args = append(args, "--label", "x")
		case "completion":
			args = append(args, "bash")
		case "relay serve":
			command = "relay"
		}
		accepts(t, args...)
		if !regexp.MustCompile("`" + command + "[` ]").MatchString(table) {
			t.Errorf("docs/use.md lacks %s", command)
		}
	}
	codes := regexp.MustCompile(`(?m)^ +(\d+) `).FindAllStringSubmatch(exitCodes, -1)
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| `).FindAllStringSubmatch(page[strings.Index(page, "### Exit codes"):], -1)
	if len(codes) != 11 || len(rows) != len(codes) {
		t.Fatalf("%d exit codes in the help, %d in docs/use.md", len(codes), len(rows))
	}
	for i := range codes {
		if codes[i][1] != rows[i][1] {
			t.Errorf("exit code %s in the help, %s in docs/use.md", codes[i][1], rows[i][1])
		}
	}
	for _, e := range api.Events {
		if !strings.Contains(readDoc(t, "docs/wire.md"), "`"+api.ReceiptPrefix+string(e)+"`") {
			t.Errorf("docs/wire.md lacks event %s", e)
		}
	}
}

// TestMetricsAreDocumented finds every metric and every operation of the program
// in docs/operations.md, and every row there in the program.
func TestMetricsAreDocumented(t *testing.T) {
	page := readDoc(t, "docs/operations.md")
	for prefix, folder := range map[string]string{"kubbi_relay_": "relay/", "kubbi_mcp_": "server/"} {
		made := map[string]bool{}
		walkTree(t, func(path string, text func() string) {
			if strings.HasPrefix(path, folder) && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				for _, m := range regexp.MustCompile(`"(`+prefix+`[a-z_]+)"`).FindAllStringSubmatch(text(), -1) {
					made[m[1]] = true
				}
			}
		})
		rows := regexp.MustCompile("(?m)^\\| `("+prefix+"[a-z_]+)`").FindAllStringSubmatch(page, -1)
		for _, row := range rows {
			if !made[row[1]] {
				t.Errorf("docs/operations.md names %s, which %s does not make", row[1], folder)
			}
		}
		for name := range made {
			if !strings.Contains(page, "| `"+name+"` |") {
				t.Errorf("docs/operations.md lacks %s", name)
			}
		}
		if len(made) < 8 {
			t.Errorf("only %d metrics in %s", len(made), folder)
		}
	}
	for _, op := range relay.Operations() {
		if !strings.Contains(page, "`"+string(op)+"`") {
			t.Errorf("docs/operations.md lacks operation %s", op)
		}
	}
}

// walkTree calls visit with each text file of the tree, by its path with slashes.
func walkTree(t *testing.T, visit func(path string, text func() string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == ".git" || name == "cache" || name == "dist" || name == "images" || name == "node_modules") {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			rel, err := filepath.Rel("..", path)
			if err != nil {
				return err
			}
			visit(filepath.ToSlash(rel), func() string { return readDoc(t, rel) })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestHostSnippets checks that docs/install.md shows for each host what install would write.
func TestHostSnippets(t *testing.T) {
	page := readDoc(t, "docs/install.md")
	for _, h := range hostfile.Hosts {
		snippet, err := h.Snippet(hostfile.Server{Name: "kubbi", Command: "/path/to/kubbi-mcp", Args: []string{"serve"}})
		if err != nil {
			t.Fatal(err)
		}
		_, section, found := strings.Cut(page, "\n### "+h.Title)
		section, _, _ = strings.Cut(section, "\n### ")
		if !found || !strings.Contains(section, "\n"+snippet+"```\n") || !strings.Contains(section, "kubbi-mcp install "+h.Name) {
			t.Errorf("docs/install.md does not show for %s:\n%s", h.Title, snippet)
		}
	}
}
