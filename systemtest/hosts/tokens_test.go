package hosts

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

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
	dir := t.TempDir()
	relay := testkit.FreeURL(t)
	cmd := exec.CommandContext(t.Context(), testkit.PlainProgram(t), "serve")
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "KUBBI_DATA_DIR=" + filepath.Join(dir, "data"), "KUBBI_RELAY_URL=" + relay}
	cmd.WaitDelay = 10 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	lines := bufio.NewReader(stdout)
	for _, message := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"tokens","version":"1"}}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`,
	} {
		if _, err := io.WriteString(stdin, message+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("no answer to tools/list: %v", err)
		}
		var answer struct {
			ID     int             `json:"id"`
			Result json.RawMessage `json:"result"`
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			t.Fatalf("serve says %q: %v", line, err)
		}
		if answer.ID == 2 {
			return answer.Result
		}
	}
}
