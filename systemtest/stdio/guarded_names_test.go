package stdio

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// guardedNames are names that a sender may use, and under which nothing is written into
// a user's folder.
var guardedNames = []string{
	"server.key", "SERVER.KEY", "prod.env", "id_rsa", "Id_Rsa", "credentials.json", "ca.pem", "vault.kdbx",
	"CLAUDE.md", "claude.MD", "AGENTS.md", "GEMINI.md", "mcp.json", "GNUmakefile", "conftest.py", "desktop.ini", "invoice.url",
	"CLAU\u200dDE.md", "server.k\u200dey", "ＣＬＡＵＤＥ.md", "id_r\u017fa", "server.\u212aey",
}

// packageOf is the arguments of a call that sends one file, with one retrieval.
func packageOf(t *testing.T, name string, sealed bool) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"files":          []any{map[string]any{"name": name, "content": "from a stranger"}},
		"max_retrievals": 1, "sealed": sealed,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestGuardedNamesAreNotWritten has a sender use the name of a key store, or of a file
// that programs act on. Such a file is neither created nor replaced in an allowed
// folder, and the payload can still be claimed.
func TestGuardedNamesAreNotWritten(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	relayURL := "http://" + testkit.MustFreeAddr(t)
	s := startIn(t, data, relayURL, "--allow-dir", dir)
	for _, sealed := range []bool{false, true} {
		for _, name := range guardedNames {
			t.Run(fmt.Sprintf("sealed=%v/%q", sealed, name), func(t *testing.T) {
				url := s.sent(t, "send_files", packageOf(t, name, sealed))
				there := filepath.Join(dir, name)
				if err := os.WriteFile(there, []byte("the user's own"), 0o600); err != nil {
					t.Fatal(err)
				}
				defer os.Remove(there)
				for _, to := range []string{dir, filepath.Join(dir, "new")} {
					res := s.callRaw(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":%q,"overwrite":true}`, url, to))
					text := res.Content[0].Text
					if !res.IsError || !strings.Contains(text, "--allow-hidden") || !strings.Contains(text, `"received"`) || strings.Contains(text, "from a stranger") {
						t.Errorf("claim into %s: %.700s", to, res.json)
					}
					if !sealed && !strings.Contains(text, "Nothing was claimed") {
						t.Errorf("a retrieval was spent: %.500s", text)
					}
				}
				if b, err := os.ReadFile(there); err != nil || string(b) != "the user's own" {
					t.Errorf("the user's file holds %q, %v", b, err)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "new", "*")); len(left) > 0 {
					t.Errorf("written: %v", left)
				}
				res := s.callRaw(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":"received"}`, url))
				if res.IsError {
					t.Fatalf("claim into received: %.500s", res.json)
				}
			})
		}
	}
	// A file that a user runs by its name is an ordinary file.
	for _, name := range []string{"package.json", "Makefile", "key.txt", "README.md", "draft~1.txt"} {
		url := s.sent(t, "send_files", packageOf(t, name, false))
		if res := s.callRaw(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":%q}`, url, dir)); res.IsError {
			t.Errorf("%s: %.500s", name, res.json)
		}
	}
	// The user can allow all of them.
	hidden := startIn(t, data, relayURL, "--allow-dir", dir, "--allow-hidden")
	for _, name := range []string{"server.key", "CLAUDE.md"} {
		url := s.sent(t, "send_files", packageOf(t, name, false))
		if res := hidden.callRaw(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":%q}`, url, dir)); res.IsError {
			t.Errorf("%s with --allow-hidden: %.500s", name, res.json)
		}
	}
}

// TestShellGuardsNames claims on the command line. Names that a sender chose follow the
// same rule; a path that the user typed does not.
func TestShellGuardsNames(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	relayURL := "http://" + testkit.MustFreeAddr(t)
	s := startIn(t, data, relayURL)
	claim := func(args ...string) (string, error) {
		cmd := testkit.Command(t.Context(), t, append([]string{"claim", "--data-dir", data, "--relay-url", relayURL}, args...)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, name := range []string{"server.key", "CLAUDE.md"} {
		url := s.sent(t, "send_files", packageOf(t, name, false))
		for _, to := range []string{dir, dir + "/", filepath.Join(dir, "new")} {
			if out, err := claim(url, "--force", "-o", to); err == nil || !strings.Contains(out, "--allow-hidden") || !strings.Contains(out, "nothing was claimed") {
				t.Errorf("claim %s -o %s: %v, %s", name, to, err, out)
			}
		}
		if out, err := claim(url, "-o", filepath.Join(dir, "mine", name)); err != nil {
			t.Errorf("claim -o %s: %v, %s", name, err, out)
		}
		url = s.sent(t, "send_files", packageOf(t, name, false))
		if out, err := claim(url, "-o", dir, "--allow-hidden"); err != nil {
			t.Errorf("claim %s --allow-hidden: %v, %s", name, err, out)
		}
	}
}
