package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestRunCommand checks the command that an agent is told: it must work in a shell that has
// neither the flags nor the PATH of the server.
func TestRunCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the words are quoted as for a Unix shell")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got := everySetting(t)["KUBBI_RELAY_URL"].Default; got != defaultRelayURL {
		t.Errorf("the default of --relay-url is %s, and not %s", got, defaultRelayURL)
	}
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		cfg    Config
		inPath bool
		want   string
	}{
		"as by default": {Config{RelayURL: defaultRelayURL}, true, "kubbi-mcp run"},
		"not in PATH":   {Config{RelayURL: defaultRelayURL}, false, self + " run"},
		"other folder":  {Config{RelayURL: defaultRelayURL, DataDir: "/it's data"}, true, `kubbi-mcp run --data-dir '/it'\''s data'`},
		"team's relay":  {Config{RelayURL: "http://127.0.0.1:1", BaseURL: "https://relay.example"}, true, "kubbi-mcp run --relay-url http://127.0.0.1:1 --base-url https://relay.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", filepath.Join(dir, "empty"))
			if tt.inPath {
				bin := t.TempDir()
				if err := os.Symlink(self, filepath.Join(bin, "kubbi-mcp")); err != nil {
					t.Fatal(err)
				}
				t.Setenv("PATH", bin)
			}
			if got := (&app{cfg: tt.cfg}).runCommand(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
