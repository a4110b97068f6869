package cluster

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kubbi-mcp/cli"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/relaytest"
)

// TestRotationUnderLoad rotates keys as an operator does, while the relay works.
func TestRotationUnderLoad(t *testing.T) {
	testkit.OnlyCI(t, "loads a relay for ten seconds")
	t.Parallel()
	dir := t.TempDir()
	var logged testkit.Log
	relay := relaytest.New(t, relaytest.WithDir(dir), relaytest.WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))
	before, err := os.ReadFile(filepath.Join(dir, "keyring.json"))
	if err != nil {
		t.Fatal(err)
	}
	load, stop := startHandoffs(t, 8, relay.APIKey, relay.URL)
	load.rotateUnder(func(args ...string) []byte {
		t.Helper()
		var out, errs bytes.Buffer
		getenv := func(name string) string { return map[string]string{"KUBBI_DATA_DIR": dir}[name] }
		if err := cli.Run(t.Context(), args, getenv, strings.NewReader(""), &out, &errs); err != nil {
			t.Fatalf("%v: %v: %s", args, err, &errs)
		}
		return out.Bytes()
	})
	stop()
	t.Logf("%d kubbis were handed over meanwhile", load.done.Load())
	after, err := os.ReadFile(filepath.Join(dir, "keyring.json"))
	if err != nil {
		t.Fatal(err)
	}
	secret := regexp.MustCompile(`"secret": "([^"]+)"`).FindSubmatch(before)
	if secret == nil || bytes.Contains(after, secret[1]) || strings.Contains(logged.String(), string(secret[1][:12])) {
		t.Errorf("the old secret is still there, or was told")
	}
	if out := logged.String(); strings.Contains(out, "level=ERROR") || !strings.Contains(out, "keyring has changed") {
		t.Errorf("logged: %s", out)
	}
}
