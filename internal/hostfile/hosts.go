// Package hostfile enters an MCP server into the configuration files of MCP hosts, and
// removes it again. It changes only the server's own entry: everything else in the file
// stays as it is, comments and layout included.
package hostfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Server is how a host starts an MCP server.
type Server struct {
	Name    string
	Command string            // an absolute path
	Args    []string          // may be empty
	Env     map[string]string // may be empty
}

// Host is a program that starts MCP servers as its configuration file says.
type Host struct {
	Name    string // as a word of the command line
	Title   string // for people
	Restart string // what to do after a change

	language language
	section  string      // the member of the file that has all servers
	fixed    [][2]string // members that every entry has, before the others
	path     func(Machine) (string, error)
}

// language is the language of a configuration file.
type language int

const (
	plainJSON language = iota
	commentedJSON
	toml
)

// Hosts are all hosts, sorted by name.
var Hosts = []Host{
	{
		Name: "claude-code", Title: "Claude Code", section: "mcpServers", fixed: [][2]string{{"type", "stdio"}},
		Restart: "Start a new session of Claude Code.",
		path:    func(m Machine) (string, error) { return m.join(m.or("CLAUDE_CONFIG_DIR", ""), ".claude.json") },
	},
	{
		Name: "claude-desktop", Title: "Claude Desktop", section: "mcpServers",
		Restart: "Quit Claude Desktop and start it again.",
		path:    func(m Machine) (string, error) { return m.config("Claude", "claude_desktop_config.json") },
	},
	{
		Name: "codex", Title: "Codex", language: toml, section: "mcp_servers",
		Restart: "Start a new session of Codex.",
		path:    func(m Machine) (string, error) { return m.join(m.or("CODEX_HOME", ".codex"), "config.toml") },
	},
	{
		Name: "cursor", Title: "Cursor", language: commentedJSON, section: "mcpServers",
		Restart: "Cursor reads the file at once. Check that the server is on under Settings, MCP.",
		path:    func(m Machine) (string, error) { return m.join(".cursor", "mcp.json") },
	},
	{
		Name: "gemini", Title: "Gemini CLI", language: commentedJSON, section: "mcpServers",
		Restart: "Start a new session of Gemini CLI.",
		path:    func(m Machine) (string, error) { return m.join(".gemini", "settings.json") },
	},
	{
		Name: "jetbrains", Title: "JetBrains (Junie)", section: "mcpServers",
		Restart: "Restart the IDE. AI Assistant has settings of its own: Settings, Tools, AI Assistant, Model Context Protocol, where this entry can be pasted as JSON.",
		path:    func(m Machine) (string, error) { return m.join(".junie", "mcp", "mcp.json") },
	},
	{
		Name: "vscode", Title: "VS Code", language: commentedJSON, section: "servers", fixed: [][2]string{{"type", "stdio"}},
		Restart: "Start the server with the command \"MCP: List Servers\", or restart VS Code.",
		path:    func(m Machine) (string, error) { return m.config("Code", "User", "mcp.json") },
	},
	{
		Name: "windsurf", Title: "Windsurf", section: "mcpServers",
		Restart: "Press Refresh in Windsurf's MCP settings, or restart it.",
		path:    func(m Machine) (string, error) { return m.join(".codeium", "windsurf", "mcp_config.json") },
	},
	{
		Name: "zed", Title: "Zed", language: commentedJSON, section: "context_servers", fixed: [][2]string{{"source", "custom"}},
		Restart: "Zed reads the file at once.",
		path: func(m Machine) (string, error) {
			if m.OS == "windows" {
				return m.config("Zed", "settings.json")
			}
			return m.join(m.or("XDG_CONFIG_HOME", ".config"), "zed", "settings.json")
		},
	},
}

// Find gives the host of a name. Its error lists all names.
func Find(name string) (Host, error) {
	i := slices.IndexFunc(Hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		return Host{}, fmt.Errorf("no host is called %q: give one of %s", name, strings.Join(Names(), ", "))
	}
	return Hosts[i], nil
}

// Names are the names of all hosts.
func Names() (names []string) {
	for _, h := range Hosts {
		names = append(names, h.Name)
	}
	return names
}

// Machine says where a user's files are.
type Machine struct {
	OS     string // as runtime.GOOS
	Home   string // the user's home folder
	Getenv func(string) string
}

// Path gives the host's configuration file on a machine. The file need not exist.
func (h Host) Path(m Machine) (string, error) {
	if m.Home == "" {
		return "", errors.New("the home folder is not known")
	}
	return h.path(m)
}

// or gives an environment variable, or else a path.
func (m Machine) or(variable, path string) string {
	if v := m.Getenv(variable); v != "" {
		return v
	}
	return path
}

// join joins the parts of a path, which begins in the home folder unless it is absolute.
func (m Machine) join(parts ...string) (string, error) {
	separator, absolute := "/", strings.HasPrefix(parts[0], "/")
	if m.OS == "windows" {
		separator, absolute = `\`, len(parts[0]) > 2 && parts[0][1] == ':' || strings.HasPrefix(parts[0], `\`)
	}
	if !absolute {
		parts = append([]string{m.Home}, parts...)
	}
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
	return strings.Join(parts, separator), nil
}

// config joins the parts of a path in the folder that has the settings of applications.
func (m Machine) config(parts ...string) (string, error) {
	folder := m.or("XDG_CONFIG_HOME", ".config")
	switch m.OS {
	case "darwin":
		folder = "Library/Application Support"
	case "windows":
		folder = m.or("APPDATA", `AppData\Roaming`)
	}
	return m.join(append([]string{folder}, parts...)...)
}
