package files

import (
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"kubbi-mcp/kubbi/api"
)

// PackageName makes a name, or a path's names joined, one that a file of a
// package can have: it starts with a letter or a digit, holds only letters,
// digits, and . _ -, and is not too long.
func PackageName(name string) string {
	name = strings.Map(func(r rune) rune {
		if nameRune(r) {
			return r
		}
		return '_'
	}, name)
	for strings.Contains(name, "..") {
		name = strings.ReplaceAll(name, "..", ".")
	}
	name = strings.TrimLeft(name, "._-")
	if name == "" {
		name = "file"
	}
	if most := api.DefaultLimits().FileNameBytes; len(name) > most {
		ext := filepath.Ext(name)
		if len(ext) > 16 {
			ext = ""
		}
		name = name[:most-len(ext)] + ext
	}
	return name
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}

// CheckName refuses a claimed file's name under which it would not be written:
// one that the API does not allow, since not every relay checks, or that is no
// ordinary name on some system.
func CheckName(name string) error {
	if name == "" || len(name) > maxName || name != PackageName(name) || strings.HasSuffix(name, ".") || device(name) {
		return refuse("the sender's file name %s is not one to write under", quote(name))
	}
	return nil
}

// CheckNames refuses names that are not to be written under, or not beside each
// other in a folder that takes a.txt and A.txt for one.
func CheckNames(names []string) error {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return err
		}
		folded := strings.ToLower(name)
		if seen[folded] {
			return refuse("two files of the package have the name %s", quote(name))
		}
		seen[folded] = true
	}
	return nil
}

// device reports whether Windows takes a name for a device, whatever its ending.
func device(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	if slices.Contains([]string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}, stem) {
		return true
	}
	port, ok := strings.CutPrefix(stem, "COM")
	if !ok {
		port, ok = strings.CutPrefix(stem, "LPT")
	}
	return ok && utf8.RuneCountInString(port) == 1 && strings.Contains("123456789¹²³", port)
}

// hidden reports whether a name is one that people keep from sight, or one under
// which keys are kept.
func hidden(name string) bool {
	if strings.HasPrefix(name, ".") && name != "." && name != ".." {
		return true
	}
	name = strings.ToLower(name)
	switch name {
	case "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", "credentials", "credentials.json",
		"secring.gpg", "shadow", "gshadow", "master.passwd", "keyring.json", "_netrc":
		return true
	}
	switch filepath.Ext(name) {
	case ".env", ".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".keychain", ".keychain-db", ".ovpn":
		return true
	}
	return false
}
