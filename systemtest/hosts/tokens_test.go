package hosts

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// The largest tools/list, in tokens of o200k. Every conversation has it in its context.
const (
	mostTokens        = 4400
	mostWithoutOutput = 2600 // many hosts show a model no output schemas
)

// TestToolListTokens counts the tokens of the program's tools/list with a real
// tokenizer.
func TestToolListTokens(t *testing.T) {
	modules := testkit.Needs(t, "KUBBI_TOKENIZER", "gpt-tokenizer")
	list := toolList(t)
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join("testdata", "tokens", "count.cjs"), modules)
	cmd.Stdin = bytes.NewReader(list)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("count.cjs: %v\n%s", err, stderr.Bytes())
	}
	var got struct {
		Whole          int            `json:"whole"`
		WithoutOutputs int            `json:"withoutOutputs"`
		Tools          map[string]int `json:"tools"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("count.cjs says %q: %v", out, err)
	}
	t.Logf("%d tokens, %d without output schemas: %v", got.Whole, got.WithoutOutputs, got.Tools)
	if len(got.Tools) != 8 {
		t.Errorf("%d tools were counted, want 8", len(got.Tools))
	}
	if got.Whole > mostTokens || got.WithoutOutputs > mostWithoutOutput {
		t.Errorf("tools/list costs %d tokens, and %d without output schemas; at most %d and %d are wanted: shorten descriptions",
			got.Whole, got.WithoutOutputs, mostTokens, mostWithoutOutput)
	}
}

// toolList is the result of tools/list over stdio.
func toolList(t *testing.T) json.RawMessage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testkit.Program(t), "serve")
	cmd.Env = bareEnv(t, "KUBBI_DATA_DIR="+filepath.Join(t.TempDir(), "data"), "KUBBI_RELAY_URL="+testkit.FreeURL(t))
	cmd.Stdin = strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"tokens","version":"1"}}}
{"jsonrpc":"2.0","id":2,"method":"tools/list"}
`)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("serve: %v", err)
	}
	for line := range bytes.Lines(out) {
		var answer struct {
			ID     int
			Result json.RawMessage
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			t.Fatalf("serve says %q: %v", line, err)
		}
		if answer.ID == 2 {
			return answer.Result
		}
	}
	t.Fatalf("no answer to tools/list: %s", out)
	return nil
}
