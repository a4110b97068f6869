package cli

import (
	"strings"
	"testing"
)

// A prefix that the tools refuse is a usage error that names the flag.
func TestToolPrefix(t *testing.T) {
	for _, prefix := range []string{"a.b", strings.Repeat("p", 33)} {
		_, err := runIn(t, map[string]string{"KUBBI_DATA_DIR": t.TempDir()}, "serve", "--relay-url", "http://127.0.0.1:7939", "--tool-prefix", prefix)
		if err == nil || ExitCode(err) != 2 || !strings.Contains(Message(err), "--tool-prefix") {
			t.Errorf("prefix %q: exit code %d, %v", prefix, ExitCode(err), err)
		}
	}
}
