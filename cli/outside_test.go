package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
)

// patience ends a wait for another process that will never be over.
const patience = 2 * time.Minute

// needs skips a test whose outside program is not there, and fails it where
// everything must be there.
func needs(t *testing.T, variable, what string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path != "" {
		return path
	}
	message := variable + " does not say where " + what + " is; .ci/run installs it"
	if os.Getenv("KUBBI_CI") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

// buildBinary builds the program as a user does.
func buildBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubbi-mcp")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func freeURL(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// TestPythonSDK drives the relay that `serve` opens on loopback with the
// official Python SDK.
func TestPythonSDK(t *testing.T) {
	python := needs(t, "KUBBI_PYTHON", "a Python with kubbi 0.1.0")
	binary := buildBinary(t)
	dir, url := t.TempDir(), freeURL(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	serve := exec.CommandContext(ctx, binary, "serve", "--data-dir", dir, "--relay-url", url)
	var stderr bytes.Buffer
	serve.Stderr = &stderr
	stdin, err := serve.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		if err := serve.Wait(); err != nil {
			t.Errorf("serve: %v\n%s", err, stderr.String())
		}
	}()
	waitHealthy(ctx, t, url+api.PathHealth)
	key, err := os.ReadFile(filepath.Join(dir, "api-key"))
	if err != nil {
		t.Fatal(err)
	}

	check := exec.CommandContext(ctx, python, filepath.Join("testdata", "outside", "python", "sdk_check.py"))
	check.Env = append(os.Environ(),
		"KUBBI_BASE_URL="+url, "KUBBI_API_KEY="+strings.TrimSpace(string(key)),
		"NO_PROXY=127.0.0.1", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
	out, err := check.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte("12 passed, 0 failed")) {
		t.Errorf("sdk_check.py: %v", err)
	}
}

func waitHealthy(ctx context.Context, t *testing.T, url string) {
	t.Helper()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no answer from %s: %v", url, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestInspector uses the server as the MCP Inspector's command line does.
func TestInspector(t *testing.T) {
	bin := needs(t, "KUBBI_INSPECTOR", "the folder with mcp-inspector and a Node.js for it")
	in := &inspector{t: t, bin: bin, binary: buildBinary(t), home: t.TempDir(), relay: freeURL(t)}

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
		if len(tool.InputSchema) == 0 || len(tool.OutputSchema) == 0 {
			t.Errorf("%s lacks a schema", tool.Name)
		}
	}
	slices.Sort(names)
	if want := []string{"claim", "delete", "get", "inspect", "list", "send", "send_files"}; !slices.Equal(names, want) {
		t.Errorf("tools: %v, want %v", names, want)
	}

	sent := in.call("send", `content={"from":"the Inspector","n":[1,2]}`, "max_retrievals=1")
	claimURL, _ := sent.Structured["claim_url"].(string)
	if sent.IsError || !strings.HasPrefix(claimURL, in.relay+"/r/") {
		t.Fatalf("send: %+v", sent)
	}
	claimed := in.call("claim", "claim_url="+claimURL)
	content, _ := claimed.Structured["content"].(map[string]any)
	if claimed.IsError || content["from"] != "the Inspector" {
		t.Errorf("claim: %+v", claimed)
	}
	if again := in.call("claim", "claim_url="+claimURL); !again.IsError || len(again.Content) == 0 {
		t.Errorf("second claim: %+v", again)
	}
}

// inspector runs the Inspector's command line, one connection each time.
type inspector struct {
	t                        *testing.T
	bin, binary, home, relay string
}

type toolResult struct {
	IsError    bool             `json:"isError"`
	Structured map[string]any   `json:"structuredContent"`
	Content    []map[string]any `json:"content"`
}

func (in *inspector) call(tool string, arguments ...string) toolResult {
	in.t.Helper()
	args := []string{"--method", "tools/call", "--tool-name", tool}
	for _, a := range arguments {
		args = append(args, "--tool-arg", a)
	}
	var result toolResult
	in.run(&result, args...)
	return result
}

// run reads what the Inspector prints into out. It exits with 5 where a tool
// answers with an error, which is an answer all the same.
func (in *inspector) run(out any, args ...string) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), patience)
	defer cancel()
	all := append([]string{"--cli", in.binary,
		"-e", "KUBBI_DATA_DIR=" + filepath.Join(in.home, "data"), "-e", "KUBBI_RELAY_URL=" + in.relay}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(in.bin, "mcp-inspector"), all...)
	cmd.Env = append(os.Environ(), "PATH="+in.bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "HOME="+in.home)
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
