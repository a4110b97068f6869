package files

import (
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"kubbi-mcp/internal/filename"
)

// CureServer says who can allow a guarded name.
const CureServer = "Only the user can allow that, by starting kubbi-mcp with --allow-hidden"

// selfActing are names of files that programs run, or agents obey, without being asked.
// docs/files.md has the reasons. Files that a user runs by name, such as package.json or
// Makefile, are not among them.
var selfActing = set(
	// Agents read these as instructions of their user.
	"claude.md", "claude.local.md", "agents.md", "agents.override.md", "agent.md", "gemini.md", "qwen.md", "crush.md",
	"codex.md", "warp.md", "replit.md", "copilot-instructions.md", "skill.md",
	// Hosts of agents start the programs that these name.
	"mcp.json", "mcp_config.json", "claude_desktop_config.json", "cline_mcp_settings.json", "opencode.json", "opencode.jsonc",
	// Tools run these in addition to what the user runs, or instead: make prefers
	// GNUmakefile to Makefile.
	"gnumakefile", "build.rs", "binding.gyp", "bunfig.toml", "conftest.py", "sitecustomize.py", "usercustomize.py", "pyvenv.cfg",
	"directory.build.props", "directory.build.targets", "directory.build.rsp", "go.work",
	"lefthook-local.yml", "lefthook-local.yaml", "compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml",
	// Logins, shells and editors read these when they start.
	"authorized_keys", "authorized_keys2", "known_hosts", "profile.ps1", "microsoft.powershell_profile.ps1", "_vimrc", "_gvimrc", "_exrc",
	// Windows reads these when it shows the folder.
	"autorun.inf", "desktop.ini",
)

// selfActingExtensions: Windows reads the first ones when it shows the folder, and Python
// runs the last one when it starts.
var selfActingExtensions = set(".lnk", ".url", ".scf", ".library-ms", ".searchconnector-ms", ".pth")

// keyNames and keyExtensions are those of files with keys in them.
var (
	keyNames = set("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", "credentials", "credentials.json",
		"application_default_credentials.json", "kubeconfig", "secring.gpg", "shadow", "gshadow", "master.passwd", "keyring.json", "_netrc")
	keyExtensions = set(".env", ".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".keychain", ".keychain-db", ".ovpn")
)

func set(names ...string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, name := range names {
		out[name] = true
	}
	return out
}

// isHidden reports whether a name is hidden, or one of a store of keys.
func isHidden(name string) bool {
	if name == "." || name == ".." {
		return false
	}
	folded := looseForm(name)
	return strings.HasPrefix(dropIgnored(name), ".") || keyNames[folded] || keyExtensions[filepath.Ext(folded)]
}

// CheckGuarded refuses a name under which another party's file is written only if the user
// allows it: a hidden one, one of a store of keys, and one of a file that programs run, or
// agents obey, without being asked. cure says how the user can have it.
func CheckGuarded(name, cure string) error {
	folded := looseForm(name)
	why := ""
	switch {
	case isHidden(name):
		why = "hidden, or looks like a store of keys"
	case selfActing[folded], selfActingExtensions[filepath.Ext(folded)], folded == "makefile" && name != "Makefile":
		// make prefers makefile to Makefile.
		why = "a file that programs or agents act on without being asked"
	default:
		return nil
	}
	return refuse("%s is %s, and is not written from another party's package. %s", quote(name), why, cure)
}

// looseForm gives one form for all names that some system treats as the same: any case and
// Unicode form, wide letters as narrow ones, without invisible characters (HFS+ and ext4
// ignore them) and without dots and spaces at the end (Windows ignores them).
func looseForm(name string) string {
	name = strings.ToLower(norm.NFKC.String(filename.Fold(dropIgnored(name))))
	return strings.TrimRightFunc(name, func(c rune) bool { return c == '.' || unicode.IsSpace(c) })
}

// dropIgnored leaves out the characters that a file system may ignore in a name.
func dropIgnored(name string) string {
	return strings.Map(func(c rune) rune {
		if unicode.In(c, unicode.Cf, unicode.Cc, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			return -1
		}
		return c
	}, name)
}
