package hosts

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// TestFrameworks uses the server with each agent framework, as its documentation says,
// and checks what the framework gives a model.
func TestFrameworks(t *testing.T) {
	for _, f := range []struct {
		name, script string
		python       string // the virtual environment; none for Node.js
		variables    []string
		noImages     bool // since it hands on the first block alone, which is the notice
	}{
		{name: "mcp 1", script: "use_mcp.py", python: "mcp1"},
		{name: "mcp 2", script: "use_mcp.py", python: "mcp2"},
		{name: "fastmcp", script: "use_fastmcp.py", python: "mcp2"},
		{name: "langchain-mcp-adapters", script: "use_langchain.py", python: "mcp1"},
		{name: "openai-agents", script: "use_openai_agents.py", python: "mcp2"},
		{name: "openai-agents structured", script: "use_openai_agents.py", python: "mcp2", variables: []string{"KUBBI_STRUCTURED=1"}},
		{name: "pydantic-ai", script: "use_pydantic_ai.py", python: "mcp2"},
		{name: "smolagents", script: "use_smolagents.py", python: "mcp1", noImages: true},
		{name: "smolagents structured", script: "use_smolagents.py", python: "mcp1", variables: []string{"KUBBI_STRUCTURED=1"}, noImages: true},
		{name: "anthropic", script: "use_anthropic.py", python: "mcp2"},
		{name: "mcp-use", script: "use_mcp_use.py", python: "mcp1"},
		{name: "ai-sdk", script: "use_ai_sdk.mjs"},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			var program, script string
			if f.python != "" {
				dir := testkit.Needs(t, "KUBBI_HOSTS_PYTHON", "a folder with the virtual environments mcp1 and mcp2")
				program = filepath.Join(dir, f.python, "bin", "python")
				script = filepath.Join("testdata", "python", f.script)
			} else {
				dir := testkit.Needs(t, "KUBBI_HOSTS_NODE", "a copy of testdata/node with its packages")
				program, script = filepath.Join(dir, "node_modules", ".bin", "node"), filepath.Join(dir, f.script)
			}
			allowed := filepath.Join(t.TempDir(), "allowed")
			if err := os.Mkdir(allowed, 0o700); err != nil {
				t.Fatal(err)
			}
			running := startFramework(t, program, script, allowed, f.variables...)
			useTools(t, running, allowed)
			if !f.noImages {
				useImages(t, running, allowed)
			}
		})
	}
}

// framework is a process that calls our tools through a framework.
// testdata/python/host.py describes its input and output.
type framework struct {
	in     io.Writer
	out    *bufio.Reader
	stderr *bytes.Buffer
}

// startFramework runs a script until the end of the test.
func startFramework(t *testing.T, program, script, allowed string, variables ...string) *framework {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := exec.CommandContext(ctx, program, script)
	cmd.Env = bareEnv(t, append(variables, "KUBBI_BIN="+testkit.Program(t), "KUBBI_ALLOWED="+allowed,
		"KUBBI_DATA_DIR="+filepath.Join(t.TempDir(), "data"), "KUBBI_RELAY_URL="+testkit.FreeURL(t))...)
	f := &framework{stderr: new(bytes.Buffer)}
	cmd.Stderr = f.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.in, f.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, f.out)
		err := cmd.Wait()
		cancel()
		if err != nil || t.Failed() {
			t.Errorf("%s: %v\n%s", filepath.Base(script), err, f.stderr)
		}
	})
	return f
}

// ask sends one request and reads its answer.
func (f *framework) ask(t *testing.T, request, answer any) {
	t.Helper()
	line, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	reply, err := f.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if err := json.Unmarshal(reply, answer); err != nil {
		t.Fatalf("%v: %s", err, reply)
	}
}

// tools lists what the framework offers a model, sorted.
func (f *framework) tools(t *testing.T) []string {
	t.Helper()
	var answer struct {
		Tools []string `json:"tools"`
	}
	f.ask(t, map[string]any{"list": true}, &answer)
	return answer.Tools
}

func (f *framework) call(t *testing.T, tool string, arguments map[string]any) shown {
	t.Helper()
	var answer shown
	f.ask(t, map[string]any{"call": tool, "arguments": arguments}, &answer)
	return answer
}
