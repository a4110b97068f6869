package files

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestGuard tries names that some system treats as a guarded one, alone and with others.
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
		for _, names := range [][]string{{name}, {"a.txt", name}} {
			if got, err := b.Names(names, true); err == nil {
				t.Errorf("%q is to be written as %q", names, got)
			}
		}
		if err := CheckGuarded(name, CureServer); err == nil || !strings.Contains(err.Error(), "--allow-hidden") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"package.json", "Makefile", "Dockerfile", "claude.txt", "my-AGENTS.md", "key.txt", "server.key.txt", "id_rsa.pub", "go.mod",
		"draft~1.txt", "…notes.txt", "résumé.pdf", "отчёт.csv", "environment.md", "AGENTS.md.txt", "main.rs", "compose.yml",
	} {
		if _, err := b.Names([]string{name}, true); err != nil {
			t.Error(err)
		}
	}
	r.Hidden = true
	allowed, err := r.NewBatch(filepath.Join(r.Folders[0].Path, "sub"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer allowed.Close()
	if _, err := allowed.Names([]string{"server.key", "CLAUDE.md"}, true); err != nil {
		t.Error(err)
	}
}
