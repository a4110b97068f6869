package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/schemas"
)

// TestManifest checks that the manifest has every tool and every command, and what a host
// asks for in a form.
func TestManifest(t *testing.T) {
	out, err := runIn(t, map[string]string{"KUBBI_TOOL_PREFIX": "x_", "KUBBI_DATA_DIR": t.TempDir()}, "manifest", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		t.Fatal(err)
	}
	if m.Name != "kubbi-mcp" || m.Title == "" || m.Version == "" || m.Description == "" || m.About == "" || len(m.Prompts) != 3 {
		t.Errorf("incomplete: %+v", m)
	}
	if len(m.Description) > 100 {
		t.Errorf("the MCP registry takes a description of at most 100 characters: %q", m.Description)
	}
	for _, tool := range m.Tools {
		if _, err := schemas.Input(tool.Name); err != nil {
			t.Error(err)
		}
	}
	if len(m.Tools) != 8 {
		t.Errorf("%d tools", len(m.Tools))
	}
	var words []string
	for _, c := range m.Commands {
		words = append(words, strings.Join(c.Words, " "))
	}
	all := commands(t)
	if len(words) != len(all) {
		t.Errorf("commands %q", words)
	}
	for name := range all {
		if !slices.Contains(words, name) {
			t.Errorf("no command %s", name)
		}
	}
	var form []string
	for _, s := range m.Settings {
		if s.Title != "" {
			form = append(form, s.Variable+" "+s.Type)
		}
		if s.Variable == "" && s.Name != "version" {
			t.Errorf("--%s has no variable", s.Name)
		}
	}
	if want := []string{"KUBBI_API_KEY secret", "KUBBI_BASE_URL text", "KUBBI_SEALED boolean", "KUBBI_ALLOW_DIRS folder"}; !slices.Equal(form, want) {
		t.Errorf("a host asks for %q, want %q", form, want)
	}
}
