package cli_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// patience ends a wait for another process that will never be over.
const patience = 2 * time.Minute

// buildBinary builds the program as a user does, once for all tests.
func buildBinary(t *testing.T) string {
	t.Helper()
	testkit.OnlyPlain(t, "one client, one request at a time")
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func freeURL(t *testing.T) string {
	t.Helper()
	return "http://" + testkit.MustFreeAddr(t)
}

// TestPythonSDK drives the relay that `serve` opens on loopback with the
// official Python SDK.
func TestPythonSDK(t *testing.T) {
	t.Parallel()
	python := testkit.Needs(t, "KUBBI_PYTHON", "a Python with kubbi 0.1.0")
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

	checkPythonSDK(ctx, t, python, url, strings.TrimSpace(string(key)))
}

// checkPythonSDK drives the relay at url with the official Python SDK.
func checkPythonSDK(ctx context.Context, t *testing.T, python, url, key string) {
	t.Helper()
	check := exec.CommandContext(ctx, python, filepath.Join("testdata", "outside", "python", "sdk_check.py"))
	check.Env = append(os.Environ(), "KUBBI_BASE_URL="+url, "KUBBI_API_KEY="+key,
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
