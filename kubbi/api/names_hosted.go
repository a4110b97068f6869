package api

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// HostedFileName reports whether a name is one that the API reference has: it
// starts with a letter or a digit of ASCII, and holds only these and . _ -, no
// two dots in a row, and at most 255 bytes. Every service takes such a name.
func HostedFileName(name string) bool {
	return len(name) <= maxFileName && plainWord(name, "._-") && !strings.Contains(name, "..")
}

// HostedFileNames gives the names under which the files of a package go to a
// service that takes ASCII names only. A name that it takes stays. Of any other
// the letters, digits and the ending stay that are ASCII once accents are off;
// all else becomes _. Where a letter was lost, or the name is taken, a part of
// the name's checksum follows, so that two names stay two, in this package and
// in the folder of a recipient of several. The same name of a package's only
// file becomes the same name each time.
func HostedFileNames(names []string) []string {
	out := make([]string, len(names))
	taken := make(map[string]bool, len(names))
	for i, name := range names {
		if HostedFileName(name) && fileNameFault(name, maxFileName) == "" {
			out[i], taken[strings.ToLower(name)] = name, true
		}
	}
	for i, name := range names {
		if out[i] != "" {
			continue
		}
		stem, ending, lost := asciiParts(name)
		sum := sha256.Sum256([]byte(norm.NFC.String(name)))
		for digits := 0; ; digits += 2 {
			if digits == 0 && lost || digits == 2 || digits == 4 {
				continue // too few to tell names apart
			}
			hosted := withSum(stem, hex.EncodeToString(sum[:])[:min(digits, 2*len(sum))], ending)
			if key := strings.ToLower(hosted); !taken[key] || digits > 2*len(sum) {
				out[i], taken[key] = hosted, true
				break
			}
		}
	}
	return out
}

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
			lost = lost || c >= 0x80 && !isBlank(c)
			if !strings.HasSuffix(b.String(), "_") {
				b.WriteByte('_')
			}
		}
	}
	name = b.String()
	for strings.Contains(name, "..") {
		name = strings.ReplaceAll(name, "..", ".")
	}
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 && len(name)-dot <= 17 && plainWord(name[dot+1:], "_-") {
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
	if most := maxFileName - len(sum) - len(ending); len(stem) > most {
		stem = strings.TrimRight(stem[:most], "._-")
	}
	if name := stem + sum + ending; !IsDeviceName(name) {
		return name
	}
	first, rest := cutStem(stem + sum)
	return first + "_" + rest + ending
}
