package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGuard tries names that some system treats as a guarded one: in Check, and again when a
// file is to be written.
func TestGuard(t *testing.T) {
	_, r := tree(t, "in/server.key")
	b, err := r.NewBatch(r.Folders[0].Path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, name := range []string{
		"server.key", "Server.KEY", "server.key.", "CLAUDE.md", "claude.md..", "AGENTS.md", "agents.override.md", "prod.env", "credentials.json",
		"CLA\u200cUDE.md", "CLAUDE\ufe0f.md", "CLA\u034fUDE.md", "ＣＬＡＵＤＥ.md", "id_r\u017fa", "server.\u212aey", "x.ｐｅｍ", ".env", "\u200d.git",
		"GNUMakefile", "makefile", "kubeconfig", "known_hosts", "Directory.Build.targets", "evil.PTH", "Desktop.ini", "a.lnk", "a.searchConnector-ms", "go.work", "binding.gyp",
	} {
		for what, err := range map[string]error{
			"Check":        b.Check([]string{"a.txt", name}, true),
			"CheckGuarded": b.CheckGuarded([]string{"a.txt", name}),
			"Stage":        b.Stage(t.Context(), name, strings.NewReader("x")),
		} {
			if err == nil {
				t.Errorf("%s takes %q", what, name)
			}
		}
		if err := b.CheckGuarded([]string{name}); err == nil || !strings.Contains(err.Error(), "--allow-hidden") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"package.json", "Makefile", "Dockerfile", "claude.txt", "my-AGENTS.md", "key.txt", "server.key.txt", "id_rsa.pub", "go.mod",
		"draft~1.txt", "…notes.txt", "résumé.pdf", "отчёт.csv", "environment.md", "AGENTS.md.txt", "main.rs", "compose.yml",
	} {
		if err := b.CheckGuarded([]string{name}); err != nil {
			t.Error(err)
		}
	}
	if saved, err := b.Commit(); err != nil || len(saved) != 0 {
		t.Errorf("%v, %v", saved, err)
	}
	if all, _ := os.ReadDir(r.Folders[0].Path); len(all) != 1 {
		t.Errorf("in the folder: %v", all)
	}
	r.Hidden = true
	allowed, err := r.NewBatch(filepath.Join(r.Folders[0].Path, "sub"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer allowed.Close()
	if err := allowed.Check([]string{"server.key", "CLAUDE.md"}, false); err != nil {
		t.Error(err)
	}
}
