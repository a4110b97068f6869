package server_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
	"kubbi-mcp/server"
	"kubbi-mcp/systemtest/conformance"
)

// TestConformance runs every server scenario of the official suite against our HTTP
// server, which also has the suite's fixtures.
func TestConformance(t *testing.T) {
	testkit.OnlyPlain(t, "one scenario at a time")
	suite := conformance.Open(t, "../docs/conformance.md")
	url := serveFixtures(t)
	t.Run("release", func(t *testing.T) {
		suite.Run(t, conformance.Run{Release: conformance.Release, URL: url, Fewest: 32})
	})
	for version, fewest := range map[string]int{"2025-03-26": 1, "2025-06-18": 27, "2025-11-25": 33, "2026-07-28": 40} {
		t.Run("preview "+version, func(t *testing.T) {
			suite.Run(t, conformance.Run{Release: conformance.Preview, URL: url, Version: version, Fewest: fewest})
		})
	}
	t.Run("extensions", func(t *testing.T) {
		suite.Run(t, conformance.Run{Release: conformance.Preview, URL: url, Scenarios: []string{
			"sep-2640-skills-directory", "sep-2640-skills-enumeration", "sep-2640-skills-manifest",
			"tasks-lifecycle", "tasks-capability-negotiation", "tasks-wire-fields", "tasks-request-state-removal",
			"tasks-mrtr-input", "tasks-request-headers", "tasks-dispatch-and-envelope", "tasks-status-notifications",
			"tasks-required-task-error", "tasks-mrtr-composition",
		}})
	})
	suite.EveryExclusion(t)
}

// serveFixtures serves until the test ends, and returns the endpoint.
func serveFixtures(t *testing.T) string {
	t.Helper()
	relay := relaytest.New(t)
	h, err := server.NewHTTP(server.HTTPConfig{
		Server: server.Config{Version: "v0.0.0-test", Add: addFixtures, TaskAfter: fixtureTaskAfter},
		Connect: func(context.Context, string, string) (*kubbi.Client, error) {
			return kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL),
				kubbi.WithTransport(relay.Local.RoundTripper(http.DefaultTransport)))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return "http://" + l.Addr().String() + "/mcp"
}
