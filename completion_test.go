//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"kubbi-mcp/internal/testkit"
)

// shell gives the path of a shell. Without it the test is skipped, and fails in
// .ci/run.
func shell(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		testkit.Missing(t, "no "+name)
	}
	return path
}

// script writes a shell's completion script into a file.
func script(t *testing.T, shell string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubbi-mcp."+shell)
	if err := os.WriteFile(path, []byte(run(t, "", "completion", shell)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// press types a line, the tabulator and more into a shell with completion, and checks
// what the command then prints.
func press(x *terminal, typed, rest, want string) {
	x.t.Helper()
	x.typing(typed + "\t")
	x.await(want)
	x.typing(rest)
}

// TestCompletionBash presses the tabulator in a real bash.
func TestCompletionBash(t *testing.T) {
	x := onTerminal(t, pty.Winsize{Rows: 50, Cols: 200}, shell(t, "bash"), "--norc", "--noprofile", "-i")
	x.typing("cd; mkdir folder; touch some.file; source " + script(t, "bash") + "\r")
	x.await(`kubbi-mcp.bash\r\n.*[#$] `)
	press(x, "kubbi-mcp vers", "\x15", `kubbi-mcp version `)
	press(x, "kubbi-mcp list --sta", "\x15", `list --status `)
	press(x, "kubbi-mcp list --status=act", "\x15", `list --status=active`)
	press(x, "kubbi-mcp send --type application", "\x15", `--type application/json `)
	press(x, "kubbi-mcp send som", "\x15", `send some.file `)
	press(x, "kubbi-mcp claim -o fol", "\x15", `claim -o folder/`)
	press(x, "kubbi-mcp --data-dir f", "\x15", `--data-dir folder/`)
	press(x, "kubbi-mcp help insp", "\r", `help inspect `)
	x.await(`Usage: kubbi-mcp inspect`)
	x.typing("kubbi-mcp get som\t# end\r") // an id is no file
	x.await(`get som\x07?# end`)
	x.typing("exit 0\r")
	x.exits(0)
}

// TestCompletionZsh presses the tabulator in a real zsh.
func TestCompletionZsh(t *testing.T) {
	zsh := shell(t, "zsh")
	path := script(t, "zsh")
	if out, err := exec.Command(zsh, "-n", path).CombinedOutput(); err != nil {
		t.Fatalf("zsh -n: %v\n%s", err, out)
	}
	x := onTerminal(t, pty.Winsize{Rows: 50, Cols: 200}, zsh, "-f", "-i")
	x.typing("cd; PS1='READY> '; mkdir folder; touch some.file; autoload -Uz compinit; compinit -u -D; source " + path + "\r")
	x.await(`READY> \x1b\[K`)
	press(x, "kubbi-mcp vers", "\x15", `kubbi-mcp version`)
	press(x, "kubbi-mcp list --sta", "\x15", `list --status`)
	press(x, "kubbi-mcp list --status=act", "\x15", `list --status=active`)
	press(x, "kubbi-mcp send som", "\x15", `send some.file`)
	press(x, "kubbi-mcp --data-dir f", "\x15", `--data-dir folder`)
	press(x, "kubbi-mcp help insp", "\r", `help inspect`)
	x.await(`Usage: kubbi-mcp inspect`)
	x.typing("exit 0\r")
	x.exits(0)
}

// TestCompletionFish asks a real fish for completions.
func TestCompletionFish(t *testing.T) {
	fish := shell(t, "fish")
	path := script(t, "fish")
	if out, err := exec.Command(fish, "-n", path).CombinedOutput(); err != nil {
		t.Fatalf("fish -n: %v\n%s", err, out)
	}
	dir := t.TempDir()
	for _, name := range []string{"some.file", "folder/inner"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]string{
		"kubbi-mcp vers":                "version\tShow the version\n",
		"kubbi-mcp list --status ":      "active\nanswered\nburned\ndeleted\nexpired\npending\nwithdrawn\n",
		"kubbi-mcp list --status=del":   "--status=deleted\n",
		"kubbi-mcp send som":            "some.file\n",
		"kubbi-mcp --data-dir f":        "folder/\n",
		"kubbi-mcp get som":             "",
		"kubbi-mcp help insp":           "inspect\tShow what a claim URL holds, without spending a retrieval\n",
		"kubbi-mcp keys create --label": "--label\t",
	} {
		cmd := exec.Command(fish, "--no-config", "-c", "source "+path+"; complete -C $argv[1]", line)
		cmd.Dir, cmd.Env = dir, terminalEnv(t)
		out, err := cmd.CombinedOutput()
		if got := string(out); err != nil || !(got == want || strings.HasSuffix(want, "\t") && strings.HasPrefix(got, want)) {
			t.Errorf("%q: %q, want %q, %v", line, got, want, err)
		}
	}
}
