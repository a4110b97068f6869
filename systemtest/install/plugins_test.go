package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// TestPlugins lets Claude Code and Gemini CLI check the plugin and the extension, and installs
// the plugin from its own marketplace. Both start the npm package of the same release.
func TestPlugins(t *testing.T) {
	t.Parallel()
	plugin, extension, dir := artifact(t, "*_claude-code-plugin.zip"), artifact(t, "*_gemini-extension.zip"), t.TempDir()
	modules := filepath.Join(testkit.Needs(t, "KUBBI_HOSTS_NODE", "a copy of systemtest/hosts/testdata/node with its packages"), "node_modules")
	programs, _ := filepath.Glob(filepath.Join(modules, "@anthropic-ai", "claude-code-*", "claude"))
	if len(programs) != 1 {
		t.Fatalf("Claude Code's programs: %v", programs)
	}
	npm := filepath.Base(artifact(t, "npm/kubbi-mcp-[0-9]*.tgz"))
	started := "kubbi-mcp@" + strings.TrimSuffix(strings.TrimPrefix(npm, "kubbi-mcp-"), ".tgz")
	for path, folder := range map[string]string{plugin: "plugin", extension: "extension"} {
		run(t, dir, nil, "python3", "-m", "zipfile", "-e", path, folder)
	}
	env := []string{"HOME=" + filepath.Join(dir, "home"), "DISABLE_AUTOUPDATER=1", "NO_COLOR=1"}
	claude := func(args ...string) string {
		return run(t, dir, env, programs[0], append([]string{"plugin"}, args...)...)
	}
	claude("validate", "plugin")
	claude("marketplace", "add", filepath.Join(dir, "plugin"))
	claude("install", "kubbi-mcp@kubbi-mcp")
	if out := claude("list"); !strings.Contains(out, "kubbi-mcp@kubbi-mcp") || !strings.Contains(out, "enabled") {
		t.Errorf("claude plugin list: %s", out)
	}
	run(t, dir, env, filepath.Join(modules, ".bin", "gemini"), "extensions", "validate", filepath.Join(dir, "extension"))
	for _, file := range []string{"plugin/.claude-plugin/plugin.json", "extension/gemini-extension.json"} {
		if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(b), `"`+started+`"`) {
			t.Errorf("%s does not start %s: %v\n%s", file, started, err, b)
		}
	}
}
