package cli

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// runCommand is how a shell of this user starts `kubbi-mcp run` with the ids of this process:
// with this program, if it is not the one in PATH, and with the flags that are not as by
// default. An agent's shell has neither the flags nor the variables of its MCP server.
func (a *app) runCommand() string {
	words := []string{"kubbi-mcp", "run"}
	self, err := os.Executable()
	if inPath, notFound := exec.LookPath(words[0]); err == nil && (notFound != nil || !sameFile(self, inPath)) {
		words[0] = self
	}
	if dir, err := a.dataDir(); err == nil && a.cfg.DataDir != "" {
		words = append(words, "--data-dir", dir)
	}
	if a.cfg.RelayURL != defaultRelayURL {
		words = append(words, "--relay-url", a.cfg.RelayURL)
	}
	if a.cfg.BaseURL != "" {
		words = append(words, "--base-url", a.cfg.BaseURL)
	}
	for i := range words {
		words[i] = shellWord(words[i])
	}
	return strings.Join(words, " ")
}

// defaultRelayURL is the default of --relay-url.
const defaultRelayURL = "http://127.0.0.1:7117"

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// shellWord quotes a word for a shell, if it must be.
func shellWord(word string) string {
	switch {
	case runtime.GOOS == "windows" && !strings.Contains(word, " "):
		return word
	case runtime.GOOS == "windows":
		return `"` + word + `"`
	case plainWord.MatchString(word):
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
