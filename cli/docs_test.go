package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
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
	keys := 0
	for name, s := range example.Servers {
		if filepath.Base(s.Command) != "kubbi-mcp" {
			t.Errorf("%s: command %q", name, s.Command)
		}
		accepts(t, s.Args...)
		for variable := range s.Env {
			if !slices.Contains(variables(), variable) {
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

	for _, snippet := range regexp.MustCompile("`(\\{.*\\})`").FindAllStringSubmatch(readDoc(t, "README.md"), -1) {
		if !json.Valid([]byte(snippet[1])) {
			t.Errorf("README.md: not JSON: %s", snippet[1])
		}
	}
}

// variables are the environment variables that Config reads.
func variables() []string {
	var names []string
	for f := range reflect.TypeFor[Config]().Fields() {
		names = append(names, f.Tag.Get("variable"))
	}
	return names
}

// TestDocs keeps the manuals from drifting away from the program.
func TestDocs(t *testing.T) {
	configuration := readDoc(t, "docs/configuration.md")
	for _, name := range variables() {
		if name == "" || !strings.Contains(configuration, "`"+name+"`") {
			t.Errorf("docs/configuration.md lacks variable %q", name)
		}
	}
	documented := regexp.MustCompile("(?m)^\\| `(--[a-z-]+)`.*\\| `(KUBBI_[A-Z_]+)`").FindAllStringSubmatch(configuration, -1)
	if len(documented) != len(variables()) {
		t.Errorf("docs/configuration.md has %d flags, the program %d", len(documented), len(variables()))
	}
	for _, d := range documented {
		if !slices.Contains(variables(), d[2]) {
			t.Errorf("docs/configuration.md names %s, which nothing reads", d[2])
		}
	}

	serving := readDoc(t, "docs/http.md")
	for _, f := range reflect.VisibleFields(reflect.TypeFor[serveCmd]()) {
		if name := f.Tag.Get("variable"); name != "" && !strings.Contains(serving, "`"+name+"`") {
			t.Errorf("docs/http.md lacks variable %q", name)
		}
	}

	keys := readDoc(t, "docs/keys.md")
	for f := range reflect.TypeFor[keysCreateCmd]().Fields() {
		flag := "--" + cmp.Or(f.Tag.Get("name"), strings.ToLower(f.Name))
		if !f.Anonymous && !strings.Contains(keys, "`"+flag) {
			t.Errorf("docs/keys.md lacks %s", flag)
		}
	}

	rings := readDoc(t, "docs/keyring.md")
	for _, c := range []reflect.Type{reflect.TypeFor[keyringRotateCmd](), reflect.TypeFor[keyringListCmd](), reflect.TypeFor[keyringPruneCmd]()} {
		for _, f := range reflect.VisibleFields(c) {
			flag := "--" + cmp.Or(f.Tag.Get("name"), strings.ToLower(f.Name))
			if !f.Anonymous && !strings.Contains(rings, flag) {
				t.Errorf("docs/keyring.md lacks %s", flag)
			}
		}
	}

	webhooks := readDoc(t, "docs/webhooks.md")
	for f := range reflect.TypeFor[sendCmd]().Fields() {
		if name := f.Tag.Get("name"); strings.HasPrefix(name, "notify") && !strings.Contains(webhooks, "--"+name) {
			t.Errorf("docs/webhooks.md lacks --%s", name)
		}
	}
	for _, e := range api.Events {
		if !strings.Contains(webhooks, "`"+api.ReceiptPrefix+string(e)+"`") {
			t.Errorf("docs/webhooks.md lacks event %s", e)
		}
	}

	manual := readDoc(t, "docs/cli.md")
	codes := regexp.MustCompile(`(?m)^ +(\d+) `).FindAllStringSubmatch(exitCodes, -1)
	rows := regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(manual, -1)
	if len(codes) != 11 || len(rows) != len(codes) {
		t.Fatalf("%d exit codes in the help, %d in docs/cli.md", len(codes), len(rows))
	}
	for i := range codes {
		if codes[i][1] != rows[i][1] {
			t.Errorf("exit code %s in the help, %s in docs/cli.md", codes[i][1], rows[i][1])
		}
	}
	for _, command := range []string{"folders list", "folders revoke"} {
		if !strings.Contains(manual, "`"+command) {
			t.Errorf("docs/cli.md lacks %s", command)
		}
		accepts(t, strings.Fields(command)...)
	}
	for _, command := range []string{"serve", "demo", "send", "inspect", "claim", "get", "list", "delete", "version", "help", "completion"} {
		if !strings.Contains(manual, "`"+command) {
			t.Errorf("docs/cli.md lacks %s", command)
		}
		if strings.Contains(command, "claim") || command == "inspect" || command == "get" || command == "delete" {
			accepts(t, command, "x")
		} else {
			accepts(t, command)
		}
	}

	// A link to a file that is not there helps nobody.
	for _, doc := range []string{"README.md", "docs/claim-page.md", "docs/cli.md", "docs/configuration.md", "docs/conformance.md", "docs/files.md", "docs/http.md", "docs/keyring.md", "docs/keys.md", "docs/observability.md", "docs/sealed.md", "docs/security.md", "docs/self-hosting.md", "docs/webhooks.md"} {
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(readDoc(t, doc), -1) {
			if _, err := os.Stat(filepath.Join("..", filepath.Dir(doc), link[1])); err != nil {
				t.Errorf("%s: %v", doc, err)
			}
		}
	}
}
