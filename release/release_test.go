package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/modelcontextprotocol/registry/pkg/model"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// madeRelease is the folder of a release. .ci/run makes one.
func madeRelease(t *testing.T) string {
	t.Helper()
	dist := os.Getenv("KUBBI_DIST")
	switch {
	case dist == "" && os.Getenv("KUBBI_CI") == "1":
		t.Fatal("KUBBI_DIST names no release")
	case dist == "":
		t.Skip("KUBBI_DIST names no release: make one with go -C release run .")
	}
	return dist
}

func read(t *testing.T, elements ...string) []byte {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(elements...))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q: %q, %v", elements, found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sums are the checksums of a release, by file.
func sums(t *testing.T, dist string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(string(read(t, dist, sumsName))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		all[name] = sum
	}
	return all
}

// TestServerJSON validates the entry for the MCP registry with the registry's own schema.
func TestServerJSON(t *testing.T) {
	entry, err := jsonschema.UnmarshalJSON(strings.NewReader(string(read(t, madeRelease(t), "server.json"))))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := output(context.Background(), ".", nil, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/modelcontextprotocol/registry")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(dir, "internal", "validators", "schemas", model.CurrentSchemaVersion+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(entry); err != nil {
		t.Error(err)
	}
	if packages := entry.(map[string]any)["packages"].([]any); len(packages) != 4 {
		t.Errorf("%d packages", len(packages))
	}
}

// TestAddresses checks that every manifest names files of the release with their checksums.
func TestAddresses(t *testing.T) {
	dist := madeRelease(t)
	known := sums(t, dist)
	for _, m := range []struct {
		file, pattern string
		want          int
	}{
		{"homebrew/*.rb", `url "[^"]*/([^/"]+)"\s+sha256 "([0-9a-f]{64})"`, 4},
		{"scoop/*.json", `"hash": "([0-9a-f]{64})",\s+"url": "[^"]*/([^/"]+)"`, 2},
		{"winget/*installer.yaml", `InstallerSha256: ([0-9A-F]{64})\s+InstallerUrl: \S*/(\S+)`, 2},
		{"server.json", `"identifier": "https:[^"]*/([^/"]+)",\s+"fileSha256": "([0-9a-f]{64})"`, 1},
	} {
		found := regexp.MustCompile(m.pattern).FindAllStringSubmatch(string(read(t, dist, m.file)), -1)
		if len(found) != m.want {
			t.Errorf("%s: %d addresses", m.file, len(found))
		}
		for _, pair := range found {
			name, sum := pair[1], strings.ToLower(pair[2])
			if len(name) == 64 {
				name, sum = pair[2], strings.ToLower(pair[1])
			}
			if known[name] != sum {
				t.Errorf("%s: %s is not %s", m.file, name, sum)
			}
		}
	}
}

// TestOrigin checks that the provenance and the checksums have every file, and that every
// module of the bill of materials has a licence with a name.
func TestOrigin(t *testing.T) {
	dist := madeRelease(t)
	known := sums(t, dist)
	files, err := artifacts(dist)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.name != sumsName && known[f.name] != f.sha256 {
			t.Errorf("%s is not what %s has", f.name, sumsName)
		}
	}
	var statement struct {
		Subject []struct {
			Name   string
			Digest map[string]string
		}
	}
	if err := json.Unmarshal(read(t, dist, "*.intoto.jsonl"), &statement); err != nil {
		t.Fatal(err)
	}
	for _, s := range statement.Subject {
		if known[s.Name] != s.Digest["sha256"] {
			t.Errorf("the provenance of %s is of another file", s.Name)
		}
	}
	if len(known) != len(files)-1 || len(statement.Subject) != len(known)-1 {
		t.Errorf("%d files, %d checksums, %d subjects", len(files), len(known), len(statement.Subject))
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(strings.NewReader(string(read(t, dist, "*.cdx.json"))), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if len(*bom.Components) < 30 {
		t.Errorf("only %d modules", len(*bom.Components))
	}
	for _, c := range *bom.Components {
		if c.Licenses == nil {
			t.Errorf("%s has no licence", c.Name)
		}
	}
}

func TestVersions(t *testing.T) {
	for tag, python := range map[string]string{"v1.2.3": "1.2.3", "v0.1.0-rc.2": "0.1.0rc2", "v0.1.0-alpha.1": "0.1.0a1", "v0.0.0-dev.20261129": "0.0.0.dev20261129"} {
		if r := (&release{tag: tag}); !versionRule.MatchString(tag) || r.pythonVersion() != python {
			t.Errorf("%s is %s", tag, r.pythonVersion())
		}
	}
	for _, tag := range []string{"1.2.3", "v1.2", "v1.2.3-x", "v1.2.3+y", "v1.2.3\n"} {
		if versionRule.MatchString(tag) {
			t.Errorf("%q is taken", tag)
		}
	}
}

// TestHome checks the names that follow from the module's path.
func TestHome(t *testing.T) {
	for module, want := range map[string][3]string{
		"kubbi-mcp":                 {noHome, "invalid.no-home/kubbi-mcp", "kubbi-mcp"},
		"github.com/Acme/kubbi-mcp": {"https://github.com/Acme/kubbi-mcp", "io.github.acme/kubbi-mcp", "acme/kubbi-mcp"},
		"kubbi.example/kubbi-mcp":   {"https://kubbi.example/kubbi-mcp", "example.kubbi/kubbi-mcp", "kubbi-mcp"},
	} {
		r := release{tag: "v1.2.3", about: manifest{Module: module, Name: "kubbi-mcp"}}
		if err := r.nameHome(); err != nil {
			t.Fatal(err)
		}
		if got := [3]string{r.homepage(), r.serverName(), r.imageName}; got != want {
			t.Errorf("%s: %q", module, got)
		}
		if r.downloads != want[0]+"/releases/download/v1.2.3" {
			t.Errorf("%s: %s", module, r.downloads)
		}
	}
	if err := (&release{downloads: "http://x.example"}).nameHome(); err == nil {
		t.Error("downloads without TLS are taken")
	}
}

// TestReplace checks that a release replaces a release, and nothing else.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	made := func() string {
		path := filepath.Join(dir, "made")
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, sumsName), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	out := filepath.Join(dir, "dist")
	for range 2 {
		if err := replace(made(), out); err != nil {
			t.Fatal(err)
		}
	}
	mine := filepath.Join(dir, "mine")
	if err := os.MkdirAll(filepath.Join(mine, "work"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := replace(made(), mine); err == nil || !strings.Contains(err.Error(), "-out") {
		t.Errorf("a folder of something else: %v", err)
	}
	if _, err := os.Stat(filepath.Join(mine, "work")); err != nil {
		t.Error(err)
	}
}
