package cli_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// imports says which packages of this project each folder may depend on, its
// own aside: design.md, "Folders". Tests are free.
var imports = map[string][]string{
	"internal/content":     {},
	"kubbi":                {"internal/content", "kubbi/api", "kubbi/api/dial"},
	"kubbi/api":            {},
	"kubbi/api/dial":       {},
	"schemas":              {},
	"tools":                {"internal/content", "internal/disk", "internal/remove", "internal/spool", "tools/files", "kubbi", "kubbi/api", "kubbi/api/dial", "schemas"},
	"tools/files":          {"internal/disk", "internal/remove", "kubbi/api"},
	"server":               {"internal/content", "internal/disk", "internal/misslimit", "internal/remove", "internal/share", "internal/spool", "internal/webpath", "tools", "tools/files", "kubbi", "kubbi/api", "kubbi/api/dial", "schemas"},
	"relay":                {"internal/content", "internal/misslimit", "internal/webpath", "kubbi/api", "kubbi/api/dial", "relay/store", "relay/atrest", "relay/page", "relay/webhook"},
	"relay/service":        {"internal/content", "internal/misslimit", "internal/share", "internal/webpath", "kubbi/api", "kubbi/api/dial", "relay", "relay/store", "relay/atrest", "relay/page", "relay/webhook", "relay/keyring", "relay/flock", "relay/private"},
	"internal/share":       {},
	"internal/webpath":     {},
	"relay/atrest":         {},
	"relay/page":           {"kubbi/api"},
	"relay/keyring":        {"relay/atrest", "relay/flock", "relay/private"},
	"internal/disk":        {},
	"internal/spool":       {},
	"relay/store":          {},
	"relay/flock":          {},
	"relay/webhook":        {"kubbi/api", "kubbi/api/dial", "relay/store"},
	"relay/private":        {"relay/flock"},
	"relay/store/body":     {"internal/disk", "relay/flock"},
	"relay/store/sqlite":   {"internal/disk", "relay/store", "relay/store/body", "relay/flock"},
	"relay/store/postgres": {"internal/spool", "relay/store"},
}

// TestImports keeps the client from knowing the relay, the relay from knowing
// the client, and each layer from reaching over the one below it.
func TestImports(t *testing.T) {
	const module = "kubbi-mcp"
	for folder, allowed := range imports {
		t.Run(folder, func(t *testing.T) {
			cmd := exec.Command("go", "list", "-deps", module+"/"+folder)
			cmd.Dir = ".."
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("go list: %v", err)
			}
			seen := false
			for dep := range strings.FieldsSeq(string(out)) {
				own, ok := strings.CutPrefix(dep, module+"/")
				if !ok {
					continue
				}
				// A store's SQL may live in a package beneath it.
				if own == folder || strings.HasPrefix(own, folder+"/") && strings.HasPrefix(folder, "relay/store/") {
					seen = true
					continue
				}
				if !slices.Contains(allowed, own) {
					t.Errorf("%s must not depend on %s", folder, own)
				}
			}
			if !seen {
				t.Errorf("go list -deps does not name %s itself", folder)
			}
		})
	}
}

// TestSidesStayApart is the rule in its shortest form, for packages that are
// not in the table yet.
func TestSidesStayApart(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Deps \" \"}}", "kubbi-mcp/kubbi/...", "kubbi-mcp/relay/...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		packages++
		for _, dep := range fields[1:] {
			relay := strings.HasPrefix(dep, "kubbi-mcp/relay")
			client := dep == "kubbi-mcp/kubbi"
			if strings.HasPrefix(fields[0], "kubbi-mcp/kubbi") && relay || strings.HasPrefix(fields[0], "kubbi-mcp/relay") && client {
				t.Errorf("%s must not depend on %s", fields[0], dep)
			}
		}
	}
	if packages < 8 {
		t.Errorf("looked at %d packages only", packages)
	}
}

// testModules are those that tests alone need.
var testModules = []string{
	"github.com/anishathalye/porcupine",
	"github.com/creack/pty",
	"github.com/google/go-cmp",
	"github.com/hanwen/go-fuse/v2",
	"github.com/modelcontextprotocol/go-sdk",
	"github.com/rogpeppe/go-internal",
	"go.uber.org/goleak",
}

// TestProductHasNoTestModules keeps what tests need out of the program.
func TestProductHasNoTestModules(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "kubbi-mcp")
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
