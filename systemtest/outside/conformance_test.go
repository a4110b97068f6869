package outside

import (
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/systemtest/conformance"
)

// TestConformance runs the scenarios that need no fixtures against the program itself.
func TestConformance(t *testing.T) {
	t.Parallel()
	suite := conformance.Open(t, "../../docs/conformance.md")
	url := serveHTTP(t, testkit.Program(t)) + "/mcp"
	both := []string{
		"server-initialize", "ping", "tools-list", "resources-list", "prompts-list", "logging-set-level",
		"dns-rebinding-protection", "server-sse-multiple-streams",
	}
	t.Run("release", func(t *testing.T) {
		suite.Run(t, conformance.Run{Release: conformance.Release, URL: url, Scenarios: both})
	})
	t.Run("preview", func(t *testing.T) {
		suite.Run(t, conformance.Run{Release: conformance.Preview, URL: url, Scenarios: append([]string{"server-session-lifecycle"}, both...)})
	})
	t.Run("preview 2026-07-28", func(t *testing.T) {
		suite.Run(t, conformance.Run{Release: conformance.Preview, URL: url, Version: "2026-07-28", Scenarios: []string{
			"tools-list", "resources-list", "prompts-list", "dns-rebinding-protection", "server-sse-multiple-streams",
			"http-header-validation", "caching",
		}})
	})
}
