package filename

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"kubbi-mcp/internal/untrusted"
)

var ascii = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)

// IsASCII reports whether a name is one that the API reference has: it starts with a
// letter or a digit of ASCII, and holds only these and . _ -, no two dots in a row,
// and at most 255 bytes. Every service takes such a name.
func IsASCII(name string) bool { return ascii.MatchString(name) && !strings.Contains(name, "..") }

// ToASCII gives the names under which the files of a package go to a service that
// takes ASCII names only. A name that it takes stays. In any other name accents are
// removed, and each run of what then is not ASCII becomes _. If a letter was lost, or
// the name is taken, a part of the name's checksum follows, so that two names stay
// two, in this package and in the folder of a recipient of several. The same name of a
// package's only file becomes the same name each time.
func ToASCII(names []string) []string {
	out := make([]string, len(names))
	taken := make(map[string]bool, len(names))
	for i, name := range names {
		if IsASCII(name) && fault(name, MaxBytes) == "" {
			out[i], taken[strings.ToLower(name)] = name, true
		}
	}
	for i, name := range names {
		if out[i] != "" {
			continue
		}
		stem, ending, lost := asciiParts(name)
		digest := sha256.Sum256([]byte(norm.NFC.String(name)))
		sum := hex.EncodeToString(digest[:])
		for digits := 0; ; digits = max(6, digits+2) { // fewer are too few to tell names apart
			if digits == 0 && lost {
				continue
			}
			short := withSum(stem, sum[:min(digits, len(sum))], ending)
			if key := strings.ToLower(short); !taken[key] || digits > len(sum) {
				out[i], taken[key] = short, true
				break
			}
		}
	}
	return out
}

// asciiEnding is an ending that stays.
var asciiEnding = regexp.MustCompile(`^\.[A-Za-z0-9][A-Za-z0-9_-]{0,15}$`)

// asciiParts gives what stays of a name, and whether a letter or a sign was lost.
func asciiParts(name string) (stem, ending string, lost bool) {
	var b strings.Builder
	for _, c := range norm.NFD.String(name) {
		switch {
		case c < 0x80 && (alphanumeric(byte(c)) || c == '.' || c == '-'):
			b.WriteRune(c)
		case unicode.Is(unicode.Mn, c) && b.Len() > 0 && alphanumeric(b.String()[b.Len()-1]):
			// the accent of a letter that stays
		default:
			lost = lost || c >= 0x80 && !untrusted.IsBlank(c)
			if !strings.HasSuffix(b.String(), "_") {
				b.WriteByte('_')
			}
		}
	}
	name = b.String()
	for strings.Contains(name, "..") {
		name = strings.ReplaceAll(name, "..", ".")
	}
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 && asciiEnding.MatchString(name[dot:]) {
		name, ending = name[:dot], name[dot:]
	}
	if name = strings.Trim(name, "._-"); name == "" {
		name = "file"
	}
	return name, ending, lost
}

// withSum puts a name together, no longer than one may be and no device's.
func withSum(stem, sum, ending string) string {
	if sum != "" {
		sum = "-" + sum
	}
	if most := MaxBytes - len(sum) - len(ending); len(stem) > most {
		stem = strings.TrimRight(stem[:most], "._-")
	}
	if name := stem + sum + ending; !IsDevice(name) {
		return name
	}
	first, rest := cutStem(stem + sum)
	return first + "_" + rest + ending
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
