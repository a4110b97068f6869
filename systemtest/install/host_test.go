package install

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"kubbi-mcp/internal/testkit"
)

// session is a host's session with an installed server.
type session struct {
	client *mcp.ClientSession
	stderr *testkit.Log
}

// host starts a server with these variables and no others but PATH and HOME. At the end of
// the test it closes the server's stdin, and the server must exit with 0.
func host(t *testing.T, name string, args, env []string) *session {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...) // Close ends it
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "KUBBI_RELAY_URL=" + testkit.FreeURL(t)}, env...)
	s := &session{stderr: &testkit.Log{}}
	cmd.Stderr = s.stderr
	client := mcp.NewClient(&mcp.Implementation{Name: "install", Version: "1"}, &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{}}) // it offers no folders
	var err error
	if s.client, err = client.Connect(t.Context(), &mcp.CommandTransport{Command: cmd}, nil); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, s.stderr)
	}
	t.Cleanup(func() {
		if err := s.client.Close(); err != nil {
			t.Errorf("%s %v: %v\n%s", name, args, err, s.stderr)
		}
	})
	return s
}

// call calls a tool, which must succeed.
func (s *session) call(t *testing.T, tool string, arguments map[string]any) *mcp.CallToolResult {
	t.Helper()
	res, err := s.client.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil || res.IsError {
		t.Fatalf("%s: %v %v\n%s", tool, err, res, s.stderr)
	}
	return res
}

// send sends something and gives its claim URL.
func (s *session) send(t *testing.T, arguments map[string]any) string {
	t.Helper()
	url, _ := s.call(t, "send", arguments).StructuredContent.(map[string]any)["claim_url"].(string)
	return url
}

// handOver sends a text, and claims it.
func (s *session) handOver(t *testing.T) {
	t.Helper()
	const text = "for another agent"
	url := s.send(t, map[string]any{"content": text, "max_retrievals": 1})
	for _, c := range s.call(t, "claim", map[string]any{"claim_url": url}).Content {
		if c, ok := c.(*mcp.TextContent); ok && strings.Contains(c.Text, text) {
			return
		}
	}
	t.Error("the claim does not hold what was sent")
}
