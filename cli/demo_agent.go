package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/tools"
)

// agent is one side of the demo: an MCP client with a server process of its own, which it
// starts as a host does.
type agent struct {
	name   string
	client *client.Client
	stderr string       // the file with the server's stderr
	seen   bytes.Buffer // what it has sent and got in calls, as JSON
}

// startAgent runs this program as a stdio server over the data directory in dir.
func startAgent(ctx context.Context, name, dir, relayURL string) (*agent, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ag := &agent{name: name, stderr: filepath.Join(dir, "stderr-"+name)}
	stderr, err := os.Create(ag.stderr)
	if err != nil {
		return nil, err
	}
	defer stderr.Close() // the server has its own descriptor
	command := func(context.Context, string, []string, []string) (*exec.Cmd, error) {
		cmd := demoProgram(ctx, self, dir, relayURL, "serve", "--log-level", "warn")
		cmd.Stderr = stderr
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
		return nil, errors.Join(ag.serverError("initialize", err), ag.client.Close())
	}
	return ag, nil
}

// demoProgram is a command of this program over the data directory in dir. The caller's
// settings must not send the demo to another service.
func demoProgram(ctx context.Context, self, dir, relayURL, command string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, self, append([]string{command, "--data-dir", filepath.Join(dir, "data"), "--relay-url", relayURL}, args...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KUBBI_") })
	return cmd
}

// tools gives the names of the server's tools.
func (ag *agent) tools(ctx context.Context) ([]string, error) {
	list, err := ag.client.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return nil, ag.serverError("tools/list", err)
	}
	var names []string
	for _, t := range list.Tools {
		names = append(names, t.Name)
	}
	return names, nil
}

// refusal is the error text of a tool.
type refusal struct{ text string }

func (r refusal) Error() string { return r.text }

// call calls a tool and reads its structured content into out. A result with isError is a
// refusal.
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
		return ag.serverError(tool, err)
	}
	return nil
}

func (ag *agent) callTool(ctx context.Context, tool string, arguments any) (*mcp.CallToolResult, error) {
	request := mcp.CallToolRequest{}
	request.Params.Name = tool
	request.Params.Arguments = arguments
	result, err := ag.client.CallTool(ctx, request)
	if err != nil {
		return nil, ag.serverError(tool, err)
	}
	if err := json.MarshalWrite(&ag.seen, []any{request.Params, result}); err != nil {
		return nil, err
	}
	if result.IsError {
		return nil, refusal{textOf(result)}
	}
	return result, nil
}

// claim calls the tool claim, and gives its manifest and its payload, "" for none.
func (ag *agent) claim(ctx context.Context, arguments any) (out claimResult, payload string, err error) {
	result, err := ag.callTool(ctx, "claim", arguments)
	if err != nil {
		return out, "", err
	}
	manifest, payload, _ := tools.ReadClaim(textOf(result))
	if err := json.Unmarshal(manifest, &out); err != nil {
		return out, "", ag.serverError("claim", err)
	}
	return out, payload, nil
}

// textOf is the text of a result.
func textOf(result *mcp.CallToolResult) string {
	var text []string
	for _, c := range result.Content {
		if t, ok := c.(mcp.TextContent); ok {
			text = append(text, t.Text)
		}
	}
	return strings.Join(text, " ")
}

// serverError adds what the server wrote to stderr to an error.
func (ag *agent) serverError(what string, err error) error {
	err = fmt.Errorf("agent %s: %s: %w", ag.name, what, err)
	text, _ := os.ReadFile(ag.stderr) // the error is more important than the log
	if log := bytes.TrimSpace(text[max(0, len(text)-4<<10):]); len(log) > 0 {
		err = fmt.Errorf("%w; its server said: %s", err, log)
	}
	return err
}

// close ends the server process.
func (ag *agent) close() error {
	if err := ag.client.Close(); err != nil {
		return ag.serverError("close", err)
	}
	return nil
}
