package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"kubbi-mcp/internal/private"
	"kubbi-mcp/server"
)

const maxTokens = 1000

// tokens reads the callers' tokens from a file, or the single token of the environment.
func (a *app) tokens(path string) ([]server.Token, error) {
	single := strings.TrimSpace(a.getenv("KUBBI_MCP_TOKEN"))
	switch {
	case path == "" && single == "":
		return nil, nil
	case path != "" && single != "":
		return nil, fmt.Errorf("--auth-token-file (KUBBI_MCP_TOKEN_FILE) and KUBBI_MCP_TOKEN exclude each other")
	case path == "":
		t, err := server.NewToken("default", single, a.cfg.APIKey)
		if err != nil {
			return nil, fmt.Errorf("KUBBI_MCP_TOKEN: %w", err)
		}
		return []server.Token{t}, nil
	}
	b, err := private.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--auth-token-file (KUBBI_MCP_TOKEN_FILE): there is no file %s: make it, with a line for each caller: a name and a token, such as what openssl rand -base64 32 prints", path)
	}
	if err != nil {
		return nil, fmt.Errorf("--auth-token-file (KUBBI_MCP_TOKEN_FILE): %w", err)
	}
	tokens, err := parseTokens(b)
	if err != nil {
		return nil, fmt.Errorf("--auth-token-file (KUBBI_MCP_TOKEN_FILE) %s, %w", path, err)
	}
	return tokens, nil
}

// parseTokens reads lines of "name token" or "name token key". Errors quote names only.
func parseTokens(b []byte) ([]server.Token, error) {
	var tokens []server.Token
	names, secrets := map[string]bool{}, map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 || len(f) > 3 {
			return nil, fmt.Errorf("line %d: must be a name, a token and, if it has one, a Kubbi API key, with spaces between", n)
		}
		key := ""
		if len(f) == 3 {
			key = f[2]
		}
		t, err := server.NewToken(f[0], f[1], key)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", n, err)
		case names[f[0]]:
			return nil, fmt.Errorf("line %d: the name %q is there twice", n, f[0])
		case secrets[f[1]]:
			return nil, fmt.Errorf("line %d: %q has the token of another", n, f[0])
		case len(tokens) == maxTokens:
			return nil, fmt.Errorf("line %d: there are more than %d tokens", n, maxTokens)
		}
		names[f[0]], secrets[f[1]] = true, true
		tokens = append(tokens, t)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("line 1: there is no token in it")
	}
	return tokens, nil
}
