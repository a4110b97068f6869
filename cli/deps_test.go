package cli_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// imports says which packages of this project each package may import. Every package may
// also import those of internal/. Tests may import anything. CONTRIBUTING.md has the map.
var imports = map[string][]string{
	".":                    {"cli"},
	"cli":                  {"kubbi", "kubbi/api", "relay", "relay/local", "relay/service", "relay/store", "relay/store/postgres", "relay/store/sqlite", "relay/webhook", "server", "tools", "tools/claims", "tools/consent", "tools/files"},
	"server":               {"server/transport", "tools", "tools/claims", "tools/consent", "tools/files", "kubbi", "kubbi/api"},
	"server/transport":     {},
	"tools":                {"tools/args", "tools/claims", "tools/consent", "tools/files", "kubbi", "kubbi/api"},
	"tools/args":           {"tools/files", "kubbi/api", "schemas"},
	"tools/claims":         {"tools/files", "kubbi", "kubbi/api"},
	"tools/consent":        {"tools/files"},
	"tools/files":          {"kubbi/api"},
	"schemas":              {},
	"kubbi":                {"kubbi/api"},
	"kubbi/api":            {},
	"internal/handles":     {"kubbi/api"},
	"relay":                {"kubbi/api", "relay/page", "relay/store", "relay/webhook"},
	"relay/local":          {"kubbi/api", "relay", "relay/store", "relay/store/sqlite"},
	"relay/service":        {"kubbi/api", "relay", "relay/store", "relay/webhook"},
	"relay/page":           {},
	"relay/webhook":        {"kubbi/api", "relay/store"},
	"relay/store":          {},
	"relay/store/body":     {},
	"relay/store/sqlite":   {"relay/store", "relay/store/body"},
	"relay/store/postgres": {"relay/store"},
}

// forTests are packages that only tests import.
var forTests = []string{"relay/relaytest", "relay/store/storetest", "relay/store/postgres/pgtest", "systemtest", "internal/testkit"}

// TestImports checks that the client and the relay do not import each other, and that
// each layer imports only the layer below it. It also checks that the table has all
// packages, and no import that is gone.
func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", "{{.Module.Path}} {{.ImportPath}} {{join .Imports \" \"}}", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen, used := map[string]bool{}, map[[2]string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		module, fields := fields[0], fields[1:]
		folder := own(module, fields[0])
		internal := strings.HasPrefix(folder, "internal/")
		allowed, listed := imports[folder]
		seen[folder] = true
		if slices.ContainsFunc(forTests, func(p string) bool { return folder == p || strings.HasPrefix(folder, p+"/") }) {
			continue
		}
		if !listed && !internal {
			t.Errorf("%s is in no table of this test", folder)
		}
		for _, path := range fields[1:] {
			dep := own(module, path)
			used[[2]string{folder, dep}] = true
			if dep == "" || strings.HasPrefix(dep, "internal/") && !slices.Contains(forTests, dep) || slices.Contains(allowed, dep) {
				continue
			}
			t.Errorf("%s must not import %s", folder, dep)
		}
	}
	for folder, deps := range imports {
		if !seen[folder] {
			t.Errorf("%s is in the table, but go list does not name it", folder)
		}
		for _, dep := range deps {
			if !used[[2]string{folder, dep}] {
				t.Errorf("%s does not import %s: remove it from the table", folder, dep)
			}
		}
	}
}

// own is the folder of a package of this module, "" for other packages.
func own(module, path string) string {
	if path == module {
		return "."
	}
	folder, _ := strings.CutPrefix(path, module+"/")
	if folder == path {
		return ""
	}
	return folder
}

// testModules are the modules that only tests need.
var testModules = []string{
	"github.com/anishathalye/porcupine",
	"github.com/google/go-cmp",
	"github.com/hanwen/go-fuse/v2",
	"github.com/modelcontextprotocol/go-sdk",
	"github.com/prometheus/common",
	"github.com/rogpeppe/go-internal",
	"go.uber.org/goleak",
}

// TestProductHasNoTestModules checks that the program does not depend on them.
func TestProductHasNoTestModules(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	modules := strings.Fields(string(out))
	if !slices.Contains(modules, "github.com/mark3labs/mcp-go") {
		t.Errorf("go list -deps names no module that the program needs: %q", modules)
	}
	for _, m := range testModules {
		if slices.Contains(modules, m) {
			t.Errorf("the program depends on %s, which is for tests", m)
		}
	}
}
