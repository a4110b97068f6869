// Package outside uses the program with other people's clients and with the MCP
// conformance suite.
package outside

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// TestPythonSDK drives the relay that `serve` opens on loopback with the
// official Python SDK.
func TestPythonSDK(t *testing.T) {
	t.Parallel()
	python := testkit.Needs(t, "KUBBI_PYTHON", "a Python with kubbi 0.1.0")
	binary := testkit.Program(t)
	dir, url := t.TempDir(), testkit.FreeURL(t)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
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
	testkit.WaitHealthy(ctx, t, url+api.PathHealth)
	key, err := os.ReadFile(filepath.Join(dir, "api-key"))
	if err != nil {
		t.Fatal(err)
	}

	testkit.PythonSDK(ctx, t, python, url, strings.TrimSpace(string(key)))
}
