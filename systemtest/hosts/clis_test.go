package hosts

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// TestHostCommands runs each command of a host in docs/install.md with the real program, and asks the host whether it can use the server.
func TestHostCommands(t *testing.T) {
	dir := testkit.Needs(t, "KUBBI_HOSTS_NODE", "a copy of testdata/node with its packages")
	commands := pageCommands(t)
	for _, host := range []struct {
		program, check string
		connected      string // what the host says when it has started the server
		word           string // for install
	}{
		{"claude", "claude mcp list", "kubbi: BINARY serve.* ✔ Connected", "claude-code"},
		{"codex", "codex mcp get kubbi --json", `"enabled": true`, "codex"},
		{"gemini", "gemini mcp list", `✓ kubbi: BINARY serve.* \(stdio\) - Connected`, "gemini"},
	} {
		command := commands[host.program]
		delete(commands, host.program)
		for _, variant := range []struct{ name, command string }{
			{"embedded", command},
			{"hosted", withEnv(host.program, command, "KUBBI_API_KEY=kb_none")},
			{"installed", "/path/to/kubbi-mcp install --yes " + host.word},
		} {
			t.Run(host.program+" "+variant.name, func(t *testing.T) {
				t.Parallel()
				h := newHost(t, dir)
				if command == "" {
					t.Fatalf("docs/install.md has no command for %s", host.program)
				}
				t.Log(h.run(variant.command))
				want := regexp.MustCompile(strings.ReplaceAll(host.connected, "BINARY", regexp.QuoteMeta(h.binary)))
				said := h.run(host.check)
				if !want.MatchString(said) {
					t.Errorf("%s: want %s in\n%s", host.check, want, said)
				}
				if host.program == "codex" {
					h.startAsCodex(said, variant.name == "hosted")
				}
				t.Log(want.FindString(said))
				if variant.name == "installed" {
					if said := h.run("/path/to/kubbi-mcp doctor"); !regexp.MustCompile("ok +" + host.word + " +starts ").MatchString(said) {
						t.Errorf("doctor says\n%s", said)
					}
					h.run("/path/to/kubbi-mcp uninstall --yes " + host.word)
					if said := h.run(strings.Replace(host.check, "get kubbi --json", "list", 1)); strings.Contains(said, h.binary) {
						t.Errorf("after uninstall: %s", said)
					}
				}
			})
		}
	}
	for program := range commands {
		t.Errorf("docs/install.md has a command for %s, which no test runs", program)
	}
}

// pageCommands are the commands of hosts in docs/install.md, by program.
func pageCommands(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]string{}
	for _, m := range regexp.MustCompile("`(([a-z]+) mcp add [^`]+)` does\\s+the\\s+same").FindAllStringSubmatch(string(page), -1) {
		commands[m[2]] = m[1]
	}
	return commands
}

// withEnv adds an environment variable to a command, at the place that docs/install.md
// names.
func withEnv(program, command, variable string) string {
	before := " kubbi "
	if program == "claude" {
		before = " --scope "
	}
	return strings.Replace(command, before, " --env "+variable+before, 1)
}

// host is a home folder in which hosts keep their settings.
type host struct {
	*testing.T
	binary, work string
	env          []string
}

// newHost has the hosts' programs in dir on its path.
func newHost(t *testing.T, dir string) *host {
	t.Helper()
	bin := t.TempDir()
	modules, err := filepath.Abs(filepath.Join(dir, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	// npm did not run the install script of Claude Code, which puts its program in
	// place.
	programs, _ := filepath.Glob(filepath.Join(modules, "@anthropic-ai", "claude-code-*", "claude"))
	if len(programs) != 1 {
		t.Fatalf("Claude Code's programs in %s: %v", modules, programs)
	}
	if err := os.Symlink(programs[0], filepath.Join(bin, "claude")); err != nil {
		t.Fatal(err)
	}
	h := &host{T: t, binary: testkit.Program(t), work: t.TempDir()}
	h.env = bareEnv(t, "KUBBI_RELAY_URL="+testkit.FreeURL(t), "DISABLE_AUTOUPDATER=1", "GEMINI_CLI_TRUST_WORKSPACE=true",
		"PATH="+strings.Join([]string{bin, filepath.Join(modules, ".bin"), os.Getenv("PATH")}, string(filepath.ListSeparator)))
	return h
}

// home is the home folder of the environment.
func (h *host) home() string { return strings.TrimPrefix(h.env[0], "HOME=") }

// run runs a command line with the path of our program, and returns its
// output.
func (h *host) run(command string) string {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", strings.ReplaceAll(command, "/path/to/kubbi-mcp", h.binary))
	cmd.Dir, cmd.Env = h.work, h.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// startAsCodex starts the server with the command in Codex's settings, since Codex
// starts servers only for a conversation.
func (h *host) startAsCodex(said string, key bool) {
	h.Helper()
	var noted struct {
		Transport struct {
			Command string            `json:"command"`
			Args    []string          `json:"args"`
			Env     map[string]string `json:"env"`
		} `json:"transport"`
	}
	if err := json.Unmarshal([]byte(said[strings.Index(said, "{"):]), &noted); err != nil {
		h.Fatal(err)
	}
	if got := noted.Transport.Env["KUBBI_API_KEY"]; (got == "kb_none") != key {
		h.Errorf("env: %v", noted.Transport.Env)
	}
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, noted.Transport.Command, noted.Transport.Args...)
	cmd.Env = h.env
	cmd.Stdin = strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"check","version":"1"}}}` + "\n")
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), `"serverInfo"`) {
		h.Errorf("%v: %v: %s", noted.Transport, err, out)
	}
}
