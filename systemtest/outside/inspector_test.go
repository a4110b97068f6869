package outside

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/tools"
)

// TestInspector uses the server as the MCP Inspector's command line does, over
// every transport.
func TestInspector(t *testing.T) {
	t.Parallel()
	bin := testkit.Needs(t, "KUBBI_INSPECTOR", "the folder with mcp-inspector and a Node.js for it")
	binary := testkit.Program(t)
	t.Run("stdio", func(t *testing.T) {
		target := []string{binary}
		for _, variable := range ownStore(t) {
			target = append(target, "-e", variable)
		}
		(&inspector{t: t, bin: bin, target: target, home: t.TempDir()}).useTools()
	})
	t.Run("sse", func(t *testing.T) {
		target := []string{serveHTTP(t, binary) + "/sse", "--transport", "sse"}
		(&inspector{t: t, bin: bin, target: target, home: t.TempDir()}).useTools()
	})
	t.Run("http", func(t *testing.T) {
		target := []string{serveHTTP(t, binary) + "/mcp", "--transport", "http"}
		(&inspector{t: t, bin: bin, target: target, home: t.TempDir()}).useTools()
	})
}

// inspector runs the Inspector's command line. Each command has a connection of its
// own.
type inspector struct {
	t         *testing.T
	bin, home string
	target    []string // what names the server on its command line
}

func (in *inspector) useTools() {
	t := in.t
	t.Helper()
	// --strict also finds schemas that some hosts can't read.
	var list struct {
		Tools []struct {
			Name         string          `json:"name"`
			InputSchema  json.RawMessage `json:"inputSchema"`
			OutputSchema json.RawMessage `json:"outputSchema"`
		} `json:"tools"`
	}
	in.run(&list, "--method", "tools/list", "--strict")
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
		if len(tool.InputSchema) == 0 || len(tool.OutputSchema) == 0 && tool.Name != "claim" {
			t.Errorf("%s lacks a schema", tool.Name)
		}
	}
	slices.Sort(names)
	if want := []string{"claim", "delete", "get", "inspect", "list", "request", "send", "send_files"}; !slices.Equal(names, want) {
		t.Errorf("tools: %v, want %v", names, want)
	}

	sent := in.call("send", `content={"from":"the Inspector","n":[1,2]}`, "max_retrievals=1")
	claimURL, _ := sent.Structured["claim_url"].(string)
	if sent.IsError || !strings.Contains(claimURL, "/r/") {
		t.Fatalf("send: %+v", sent)
	}
	claimed := in.call("claim", "claim_url="+claimURL)
	text, _ := claimed.Content[0]["text"].(string)
	if _, payload, _ := tools.ReadClaim(text); claimed.IsError || payload != `{"from":"the Inspector","n":[1,2]}` {
		t.Errorf("claim: %+v", claimed)
	}
	// The next call has another session. It may get the same payload again, since
	// nobody knows whether the first answer was read, but both count once.
	in.call("claim", "claim_url="+claimURL)
	id, _ := sent.Structured["id"].(string)
	if got := in.call("get", "id="+id); got.Structured["status"] != "burned" || got.Structured["retrieval_count"] != 1.0 {
		t.Errorf("after two claims: %+v", got)
	}
}

func (in *inspector) call(tool string, arguments ...string) testkit.ToolResult {
	in.t.Helper()
	args := []string{"--method", "tools/call", "--tool-name", tool}
	for _, a := range arguments {
		args = append(args, "--tool-arg", a)
	}
	var result testkit.ToolResult
	in.run(&result, args...)
	return result
}

// run reads the output of the Inspector. The Inspector exits with 5 if a tool returns
// an error, which is a valid answer.
func (in *inspector) run(out any, args ...string) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), testkit.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(in.bin, "mcp-inspector"), slices.Concat([]string{"--cli"}, in.target, args)...)
	cmd.Env = append(os.Environ(), "PATH="+in.bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "HOME="+in.home, "NO_PROXY=127.0.0.1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 5 {
		in.t.Fatalf("mcp-inspector %v: %v\n%s%s", args, err, stdout, stderr.String())
	}
	if err := json.Unmarshal(stdout, out); err != nil {
		in.t.Fatalf("mcp-inspector %v: %v\n%s%s", args, err, stdout, stderr.String())
	}
}
