package http

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/relaytest"
)

// strangersKey is a key of the Kubbi API that no relay here knows.
const strangersKey = "kb_ofAnotherServiceofAnotherServiceofAnotherSe"

// isolationCallers are the columns of docs/security.md: the header of each caller.
func isolationCallers(carolsKey string) map[string]http.Header {
	key := func(token, key string) http.Header {
		h := bearer(token)
		h.Set("X-Kubbi-Api-Key", key)
		return h
	}
	return map[string]http.Header{
		"none":           nil,
		"wrong":          bearer("wrong-token-wrong-token"),
		"alice":          bearer(aliceToken),
		"bob":            bearer(bobToken),
		"key":            headers("X-Kubbi-Api-Key", carolsKey),
		"key, allowed":   headers("X-Kubbi-Api-Key", carolsKey),
		"alice+key":      key(aliceToken, carolsKey),
		"wrong+key":      key("wrong-token-wrong-token", carolsKey),
		"stranger":       headers("X-Kubbi-Api-Key", strangersKey),
		"alice+stranger": key(aliceToken, strangersKey),
	}
}

// isolationSetting is a server for which the table holds.
type isolationSetting struct {
	name       string
	embedded   bool     // the relay
	ownKeys    bool     // --allow-own-keys
	transports []string // that are tried there
}

// TestIsolation checks every cell of docs/security.md with the running program.
func TestIsolation(t *testing.T) {
	t.Parallel()
	table := readIsolation(t)
	for _, set := range []isolationSetting{
		{"relay of a team", false, false, []string{overHTTP, overSSE}},
		{"relay of a team and own keys", false, true, []string{overHTTP, overModern}},
		{"embedded relay and own keys", true, true, []string{overSSE}},
	} {
		t.Run(set.name, func(t *testing.T) {
			t.Parallel()
			w := newIsolated(t, set)
			w.complete(table)
			callers := isolationCallers(w.carolsKey)
			for _, transport := range set.transports {
				for column, name := range table.callers {
					if name == "key" && set.ownKeys || name == "key, allowed" && !set.ownKeys {
						continue
					}
					t.Run(transport+"/"+name, func(t *testing.T) {
						w.check(t, table, column, transport, callers[name])
					})
				}
			}
			secretless(t, w.srv, aliceToken, bobToken, w.carolsKey, strangersKey)
		})
	}
}

// isolationTable is the table of docs/security.md.
type isolationTable struct {
	callers []string
	rows    []isolationRow
}

type isolationRow struct {
	operation string
	cells     []string // by caller
}

// has reports whether a row names all of these words as code.
func (t isolationTable) has(words ...string) bool {
	return slices.ContainsFunc(t.rows, func(r isolationRow) bool {
		for _, w := range words {
			if !strings.Contains(r.operation, "`"+w+"`") {
				return false
			}
		}
		return true
	})
}

// readIsolation reads the table. Its rows must be the operations that the test knows.
func readIsolation(t *testing.T) isolationTable {
	t.Helper()
	var table isolationTable
	inside := false
	seen := map[string]bool{}
	for line := range strings.Lines(readPage(t, "security.md")) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|-") {
			inside = inside && strings.HasPrefix(line, "|")
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case cells[0] == "operation":
			inside, table.callers = true, cells[1:]
		case inside:
			if len(cells) != len(table.callers)+1 || isolationOperations[cells[0]] == nil || seen[cells[0]] {
				t.Errorf("docs/security.md: no operation, or not once, or not a cell for each caller: %s", line)
				continue
			}
			seen[cells[0]] = true
			table.rows = append(table.rows, isolationRow{cells[0], cells[1:]})
		}
	}
	for operation := range isolationOperations {
		if !seen[operation] {
			t.Errorf("docs/security.md has no row %q", operation)
		}
	}
	want := slices.Sorted(maps.Keys(isolationCallers("")))
	if got := slices.Sorted(slices.Values(table.callers)); !slices.Equal(got, want) {
		t.Fatalf("docs/security.md has the callers %q, not %q", got, want)
	}
	return table
}

// isolated is a running server and what its callers have.
type isolated struct {
	t         *testing.T
	srv       *httpServer
	carolsKey string
	owners    map[string]*peer    // by name, who ask for what is theirs
	sent      map[string]string   // whose each kubbi is, by its id
	folders   map[string]string   // by name: alice's, bob's, shared, nobody's
	given     map[string][]string // names of folders, by the token's name
	hanging   string              // an origin that does not answer
	task      string              // of alice's
}

// newIsolated starts a server.
func newIsolated(t *testing.T, set isolationSetting) *isolated {
	t.Helper()
	w := &isolated{t: t, owners: map[string]*peer{}, sent: map[string]string{}, folders: map[string]string{},
		given: map[string][]string{"alice": {"alice's", "the shared"}, "bob": {"bob's", "the shared"}}}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice's", "bob's", "the shared", "nobody's"} {
		dir := filepath.Join(root, strings.TrimSuffix(strings.TrimPrefix(name, "the "), "'s"))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		testkit.FileOfItsName(t, filepath.Join(dir, "a.txt"))
		w.folders[name] = dir
	}
	if err := os.Symlink(filepath.Join("..", "alice", "a.txt"), filepath.Join(w.folders["the shared"], "link.txt")); err != nil {
		t.Fatal(err)
	}
	lines := []string{"alice " + aliceToken, "bob " + bobToken}
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"--data-dir", data}
	if !set.embedded {
		relay := relaytest.New(t)
		var keys []string
		for _, name := range []string{"alice", "bob", "carol"} {
			key, err := relay.Local.CallerKey(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		lines[0] += " " + keys[0]
		lines[1] += " " + keys[1]
		w.carolsKey = keys[2]
		ended := make(chan struct{})
		hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-ended:
			}
		}))
		t.Cleanup(func() { close(ended); hanging.Close() })
		w.hanging = hanging.URL
		args = append(args, "--base-url", relay.URL, "--allow-origin", relay.URL, "--allow-origin", hanging.URL)
	}
	if set.ownKeys {
		args = append(args, "--allow-own-keys")
	}
	args = append(args, "--auth-token-file", tokenFile(t, lines...))
	for token, names := range w.given {
		for _, name := range names {
			args = append(args, "--allow-dir", token+"="+w.folders[name])
		}
	}
	w.srv = startHTTP(t, args...)
	if set.embedded {
		w.srv.connect(t, overHTTP, bearer(aliceToken)).mustCall(t, "list", nil) // which opens the store
		key, errs, err := testkit.Run(t, nil, "--data-dir", data, "keys", "create", "--label", "carol")
		if err != nil {
			t.Fatalf("%v: %s", err, errs)
		}
		w.carolsKey = strings.TrimSpace(key)
	}
	callers := isolationCallers(w.carolsKey)
	for owner, caller := range map[string]string{"alice": "alice", "bob": "bob", "carol": "alice+key"} {
		w.owners[owner] = w.srv.connect(t, overHTTP, callers[caller])
	}
	return w
}

// complete checks that the table has every tool, prompt, resource and path of the
// server.
func (w *isolated) complete(table isolationTable) {
	w.t.Helper()
	ask := func(method string, into any) {
		params := map[string]any{}
		if method == "initialize" {
			params = map[string]any{"protocolVersion": "2025-06-18", "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "t", "version": "1"}}
		}
		b, err := w.srv.connect(w.t, overHTTP, bearer(aliceToken)).ask(w.t.Context(), method, params)
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	needs := func(words ...string) {
		if !table.has(words...) {
			w.t.Errorf("docs/security.md has no row for %q", words)
		}
	}
	var hello struct{ Capabilities map[string]any }
	ask("initialize", &hello)
	methods := map[string][]string{
		"tools": {"tools/list"}, "prompts": {"prompts/list", "prompts/get"}, "completions": {"completion/complete"}, "logging": {"logging/setLevel"},
		"resources": {"resources/list", "resources/templates/list", "resources/read", "resources/subscribe", "resources/unsubscribe"},
	}
	for capability := range hello.Capabilities {
		if methods[capability] == nil {
			w.t.Errorf("the capability %q is new: which methods has it?", capability)
		}
		for _, method := range methods[capability] {
			needs(method)
		}
	}
	var tools struct {
		Tools []struct {
			Name        string
			InputSchema json.RawMessage
		}
	}
	ask("tools/list", &tools)
	argument := regexp.MustCompile(`"([a-z_]+)":\{[^{}]*?"description":"([^"]*)`)
	ofFiles, paths := regexp.MustCompile(`(?i)on this machine`), 0
	for _, tool := range tools.Tools {
		needs(tool.Name)
		for _, m := range argument.FindAllStringSubmatch(string(tool.InputSchema), -1) {
			if ofFiles.MatchString(m[2]) && !strings.Contains(m[0], `"boolean"`) { // which is no path
				paths++
				needs(tool.Name, m[1])
			}
		}
	}
	var prompts struct {
		Prompts []struct {
			Name      string
			Arguments []struct{ Name string }
		}
	}
	ask("prompts/list", &prompts)
	for _, p := range prompts.Prompts {
		needs("prompts/get", p.Name)
		for _, a := range p.Arguments {
			needs("completion/complete", p.Name, a.Name)
		}
	}
	var templates struct {
		ResourceTemplates []struct{ URITemplate string }
	}
	ask("resources/templates/list", &templates)
	for _, r := range templates.ResourceTemplates {
		needs("resources/read", r.URITemplate)
		needs("resources/subscribe", r.URITemplate)
		needs("subscriptions/listen", r.URITemplate)
		needs("completion/complete", r.URITemplate)
	}
	// Each resource in the list belongs to the template.
	var list struct{ Resources []struct{ URI string } }
	ask("resources/list", &list)
	for _, r := range list.Resources {
		if !strings.HasPrefix(r.URI, "kubbi://") {
			w.t.Errorf("docs/security.md has no row for the resource %q", r.URI)
		}
	}
	// The server's paths are those of docs/install.md.
	routes := 0
	for _, m := range regexp.MustCompile("(?m)^\\| `(/[^|]*) \\|").FindAllStringSubmatch(readPage(w.t, "install.md"), -1) {
		for _, path := range regexp.MustCompile("/[^` ,]+").FindAllString(m[1], -1) {
			routes++
			if !slices.ContainsFunc(table.rows, func(r isolationRow) bool { return strings.Contains(r.operation, " "+path+"`") }) {
				w.t.Errorf("docs/security.md has no row for %s", path)
			}
		}
	}
	if len(tools.Tools) < 7 || paths < 3 || len(prompts.Prompts) < 3 || len(templates.ResourceTemplates) < 1 || len(hello.Capabilities) < 5 || routes < 6 {
		w.t.Errorf("the server has %d tools with %d paths, %d prompts, %d templates, %d capabilities and %d routes",
			len(tools.Tools), paths, len(prompts.Prompts), len(templates.ResourceTemplates), len(hello.Capabilities), routes)
	}
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
