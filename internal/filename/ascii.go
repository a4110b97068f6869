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

// IsASCII reports whether the API reference allows a name: the name starts with an ASCII
// letter or digit, has only ASCII letters, digits and . _ -, has no two dots in a row, and
// is at most 255 bytes long. Every service accepts such a name.
func IsASCII(name string) bool { return ascii.MatchString(name) && !strings.Contains(name, "..") }

// ToASCII gives the names under which the files of a package are sent to a service that
// accepts ASCII names only. A name that the service accepts stays as it is. In any other
// name, accents are removed and each remaining run of characters outside ASCII becomes _.
// If a letter was lost, or the name is already used, a part of the name's checksum is
// added. So different names stay different, in this package and in a recipient's folder
// with several packages. The name of a package's only file is always changed in the same
// way.
func ToASCII(names []string) []string {
	out := make([]string, len(names))
	taken := make(map[string]bool, len(names))
	for i, name := range names {
		if IsASCII(name) && fault(name) == "" {
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

// asciiEnding matches a file name extension that is kept.
var asciiEnding = regexp.MustCompile(`^\.[A-Za-z0-9][A-Za-z0-9_-]{0,15}$`)

// asciiParts gives the ASCII form of a name, and whether a letter or a sign was lost.
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

// withSum joins the parts of a name. The result has at most MaxBytes and is not the name of
// a device.
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
