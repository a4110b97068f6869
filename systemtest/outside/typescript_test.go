package outside

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// TestTypeScriptSDK uses the server as both generations of the official
// TypeScript SDK's client do, over every transport, and in both protocol eras.
func TestTypeScriptSDK(t *testing.T) {
	t.Parallel()
	dir := testkit.Needs(t, "KUBBI_TYPESCRIPT", "a copy of testdata/outside/typescript with its packages")
	binary := testkit.Program(t)
	for _, who := range [][]string{{"sdk", "legacy"}, {"client", "legacy"}, {"client", "2026-07-28"}} {
		for _, transport := range []string{"stdio", "sse", "http"} {
			t.Run(who[0]+" "+who[1]+" "+transport, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
				defer cancel()
				cmd := exec.CommandContext(ctx, "node", filepath.Join(dir, "check.mjs"), who[0], who[1], transport)
				cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "KUBBI_BIN="+binary)
				switch transport {
				case "stdio":
					cmd.Args = append(cmd.Args, binary)
					cmd.Env = append(cmd.Env, ownStore(t)...)
				case "sse":
					cmd.Args = append(cmd.Args, serveHTTP(t, binary)+"/sse")
				default:
					cmd.Args = append(cmd.Args, serveHTTP(t, binary)+"/mcp")
				}
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil || !bytes.HasSuffix(out, []byte("\n18 passed\n")) {
					t.Errorf("check.mjs: %v\n%s%s", err, out, stderr.String())
				}
			})
		}
	}
}
