package files

import (
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"kubbi-mcp/internal/filename"
)

// CureServer says who can allow a name that is guarded.
const CureServer = "Only the user can allow that, by starting kubbi-mcp with --allow-hidden"

// actsAlone are names of files that a program runs, or an agent obeys, without
// being asked for them. docs/files.md has the reasons. What a user runs by its
// name, such as package.json or Makefile, is not among them.
var actsAlone = set(
	// An agent takes these for instructions of its user.
	"claude.md", "claude.local.md", "agents.md", "agents.override.md", "agent.md", "gemini.md", "qwen.md", "crush.md",
	"codex.md", "warp.md", "replit.md", "copilot-instructions.md", "skill.md",
	// An agent's host starts the programs that are named in these.
	"mcp.json", "mcp_config.json", "claude_desktop_config.json", "cline_mcp_settings.json", "opencode.json", "opencode.jsonc",
	// A tool runs these beside what its user runs, or in its place: make prefers
	// GNUmakefile to Makefile.
	"gnumakefile", "build.rs", "binding.gyp", "bunfig.toml", "conftest.py", "sitecustomize.py", "usercustomize.py", "pyvenv.cfg",
	"directory.build.props", "directory.build.targets", "directory.build.rsp", "go.work",
	"lefthook-local.yml", "lefthook-local.yaml", "compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml",
	// A login, a shell or an editor reads these when it starts.
	"authorized_keys", "authorized_keys2", "known_hosts", "profile.ps1", "microsoft.powershell_profile.ps1", "_vimrc", "_gvimrc", "_exrc",
	// Windows reads these when it shows the folder.
	"autorun.inf", "desktop.ini",
)

// actsAloneEndings are those of files that act alone: Windows reads the first ones
// when it shows the folder, and Python runs the last when it starts.
var actsAloneEndings = set(".lnk", ".url", ".scf", ".library-ms", ".searchconnector-ms", ".pth")

// keyNames and keyEndings are those of files with keys in them.
var (
	keyNames = set("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", "credentials", "credentials.json",
		"application_default_credentials.json", "kubeconfig", "secring.gpg", "shadow", "gshadow", "master.passwd", "keyring.json", "_netrc")
	keyEndings = set(".env", ".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".keychain", ".keychain-db", ".ovpn")
)

func set(names ...string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, name := range names {
		out[name] = true
	}
	return out
}

// hidden reports whether a name is one that people keep from sight, or one under
// which keys are kept.
func hidden(name string) bool {
	if name == "." || name == ".." {
		return false
	}
	return strings.HasPrefix(foldIgnored(name), ".") || keyStore(loosest(name))
}

func keyStore(folded string) bool { return keyNames[folded] || keyEndings[filepath.Ext(folded)] }

// CheckGuarded refuses a name under which no file of another party is written
// unless the user allows it: one of a hidden file or a store of keys, or one that a
// program runs, or an agent obeys, without being asked for it. cure says how it can
// be had all the same.
func CheckGuarded(name, cure string) error {
	folded := loosest(name)
	why := ""
	switch {
	case hidden(name):
		why = "hidden, or looks like a store of keys"
	case actsAlone[folded], actsAloneEndings[filepath.Ext(folded)], folded == "makefile" && name != "Makefile":
		// make prefers makefile to Makefile.
		why = "a file that programs or agents act on without being asked"
	default:
		return nil
	}
	return refuse("%s is %s, and is not written from another party's package. %s", quote(name), why, cure)
}

// loosest gives one form of all names that some system takes for the same: any
// case and Unicode form, wide letters as narrow ones, without what can't be seen
// (HFS+ and ext4 ignore it) and without dots and spaces at the end (Windows does).
func loosest(name string) string {
	name = strings.ToLower(norm.NFKC.String(filename.Fold(foldIgnored(name))))
	return strings.TrimRightFunc(name, func(c rune) bool { return c == '.' || unicode.IsSpace(c) })
}

// foldIgnored leaves out the characters that a file system may ignore in a name.
func foldIgnored(name string) string {
	return strings.Map(func(c rune) rune {
		if unicode.In(c, unicode.Cf, unicode.Cc, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			return -1
		}
		return c
	}, name)
}
