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
)

// serveHTTP runs `serve --transport http` until the end of the test, and returns its
// origin.
func serveHTTP(t *testing.T, binary string) string {
	t.Helper()
	url := testkit.FreeURL(t)
	// Not the test's own context, which ends before the server is stopped. It has no
	// deadline, since a test may take long.
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "serve", "--transport", "http", "--addr", strings.TrimPrefix(url, "http://"))
	cmd.Env = append(os.Environ(), ownStore(t)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = testkit.Patience
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-ended
		// Wait reports the end of the context, whatever the exit code is.
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("serve ended with %d\n%s", code, stderr.String())
		}
	})
	start, stop := context.WithTimeout(ctx, testkit.Patience)
	defer stop()
	testkit.WaitHealthy(start, t, url+"/healthz")
	return url
}

// ownStore are the variables for a store that no other test uses.
func ownStore(t *testing.T) []string {
	t.Helper()
	return []string{"KUBBI_DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "KUBBI_RELAY_URL=" + testkit.FreeURL(t), "NO_PROXY=127.0.0.1"}
}
