package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/tools"
)

// agent is one side of the demo: an MCP client with a server process of its
// own, as a host would start it.
type agent struct {
	name   string
	client *client.Client
	stderr *tail
}

// startAgent runs this program as a stdio server over a data directory.
func startAgent(ctx context.Context, name, dataDir, relayURL string) (*agent, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ag := &agent{name: name, stderr: &tail{}}
	command := func(context.Context, string, []string, []string) (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, self, "serve", "--data-dir", dataDir, "--relay-url", relayURL, "--log-level", "warn")
		cmd.Env = withoutConfig(os.Environ())
		cmd.Stderr = ag.stderr
		return cmd, nil
	}
	ag.client, err = client.NewStdioMCPClientWithOptions(self, nil, nil, transport.WithCommandFunc(command))
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", name, err)
	}
	request := mcp.InitializeRequest{}
	request.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	request.Params.ClientInfo = mcp.Implementation{Name: "agent-" + name, Version: buildInfo().Version}
	if _, err := ag.client.Initialize(ctx, request); err != nil {
		return nil, errors.Join(ag.explain("initialize", err), ag.client.Close())
	}
	return ag, nil
}

// withoutConfig drops the caller's settings: the demo goes nowhere else,
// whatever key is set.
func withoutConfig(environ []string) []string {
	var kept []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "KUBBI_") {
			kept = append(kept, v)
		}
	}
	return kept
}

// tools gives the names of the server's tools.
func (ag *agent) tools(ctx context.Context) ([]string, error) {
	list, err := ag.client.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return nil, ag.explain("tools/list", err)
	}
	var names []string
	for _, t := range list.Tools {
		names = append(names, t.Name)
	}
	return names, nil
}

// refusal is a tool's answer that something can't be done.
type refusal struct{ text string }

func (r refusal) Error() string { return r.text }

// call calls a tool and reads its structured content into out. An answer with
// isError is a refusal.
func (ag *agent) call(ctx context.Context, tool string, arguments, out any) error {
	result, err := ag.callTool(ctx, tool, arguments)
	if err != nil {
		return err
	}
	data, err := json.Marshal(result.StructuredContent)
	if err == nil {
		err = json.Unmarshal(data, out)
	}
	if err != nil {
		return ag.explain(tool, err)
	}
	return nil
}

func (ag *agent) callTool(ctx context.Context, tool string, arguments any) (*mcp.CallToolResult, error) {
	request := mcp.CallToolRequest{}
	request.Params.Name = tool
	request.Params.Arguments = arguments
	result, err := ag.client.CallTool(ctx, request)
	if err != nil {
		return nil, ag.explain(tool, err)
	}
	if result.IsError {
		return nil, refusal{textOf(result)}
	}
	return result, nil
}

// claim calls claim, and gives what its answer says and the payload in it, if it
// has one.
func (ag *agent) claim(ctx context.Context, arguments any) (out claimResult, payload string, err error) {
	result, err := ag.callTool(ctx, "claim", arguments)
	if err != nil {
		return out, "", err
	}
	manifest, payload, _ := tools.ReadClaim(textOf(result))
	if err := json.Unmarshal(manifest, &out); err != nil {
		return out, "", ag.explain("claim", err)
	}
	return out, payload, nil
}

// textOf is the text that a result has.
func textOf(result *mcp.CallToolResult) string {
	var text []string
	for _, c := range result.Content {
		if t, ok := c.(mcp.TextContent); ok {
			text = append(text, t.Text)
		}
	}
	return strings.Join(text, " ")
}

// explain adds what the server said on stderr to an error.
func (ag *agent) explain(what string, err error) error {
	err = fmt.Errorf("agent %s: %s: %w", ag.name, what, err)
	if said := ag.stderr.String(); said != "" {
		err = fmt.Errorf("%w; its server said: %s", err, said)
	}
	return err
}

// close ends the server process.
func (ag *agent) close() error {
	if err := ag.client.Close(); err != nil {
		return ag.explain("close", err)
	}
	return nil
}

// tail keeps the end of what a process writes.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if extra := len(t.data) - tailBytes; extra > 0 {
		t.data = append(t.data[:0], t.data[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.data))
}
