package hosts

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// TestSchemas converts our tools' input schemas with the converters that frameworks use
// before a model's API.
func TestSchemas(t *testing.T) {
	dir := testkit.Needs(t, "KUBBI_HOSTS_PYTHON", "a folder with the virtual environments mcp1 and mcp2")
	for environment, converters := range map[string][]string{
		"mcp1": {"langchain_strict", "mcp_use", "smolagents"},
		"mcp2": {"openai_strict", "anthropic_strict", "google_genai", "voluptuous", "pydantic_ai_openai", "pydantic_ai_google"},
	} {
		t.Run(environment, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(dir, environment, "bin", "python"),
				filepath.Join("testdata", "python", "convert.py"), environment)
			cmd.Env = bareEnv(t, "KUBBI_BIN="+testkit.Program(t), "KUBBI_DATA_DIR="+filepath.Join(t.TempDir(), "data"),
				"KUBBI_RELAY_URL="+testkit.FreeURL(t))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("convert.py: %v\n%s%s", err, out, stderr.String())
			}
			for _, failure := range regexp.MustCompile(`(?m)^FAIL .*$`).FindAllString(string(out), -1) {
				t.Error(failure)
			}
			for _, c := range converters {
				if !strings.Contains(string(out), "ok "+c+": 8 tools\n") && !strings.Contains(string(out), "FAIL "+c+",") {
					t.Errorf("%s has not run:\n%s", c, out)
				}
			}
			t.Logf("%s", out)
		})
	}
}
