// Package filename has the rules for the names of files in a package: which names are
// valid, which name replaces an invalid one, and which names are the same file on some
// system.
package filename

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"kubbi-mcp/internal/untrusted"
)

// MaxBytes is how many bytes of UTF-8 a file's name may have on Linux and on macOS.
// Windows allows 255 UTF-16 units, and 255 bytes are never more units than that.
const MaxBytes = 255

// Fault says what is wrong with the name of a file in a package, and suggests another
// name. It returns "" for a valid name.
//
// Linux, macOS and Windows can all save a valid name, and nothing in it is hidden. It may
// have letters, marks and digits of every script, emoji, spaces inside, and all punctuation
// except untrusted.Reserved, in either Unicode form. It must not have invisible characters,
// except joiners and variation selectors in their places; a dot, a space or a hyphen at the
// beginning; a dot or a space at the end; or two dots in a row. It must not be the name of
// a device on Windows, such as aux.h.
//
// The API reference allows only the names of IsASCII. All others are an extension of our
// relay, which announces it in api.HeaderFileNames.
func Fault(name string) string {
	why := fault(name)
	if why == "" || name == "" || len(name) > 4*MaxBytes || !utf8.ValidString(name) { // it was hardly meant to be a name
		return why
	}
	return fmt.Sprintf(`%s: send it as "%s", for example`, why, Safe(name))
}

func fault(name string) string {
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > MaxBytes:
		return fmt.Sprintf("must be at most %d bytes of UTF-8", MaxBytes)
	case !utf8.ValidString(name):
		return "must be valid UTF-8"
	}
	for c, visible := range untrusted.Characters(name) {
		switch {
		case strings.Contains(untrusted.Reserved, c):
			return `must not have any of / \ : * ? " < > |, which Windows can't save`
		case !visible:
			return fmt.Sprintf("must not have characters that can't be seen, such as U+%04X", firstRune(c))
		}
	}
	last, _ := utf8.DecodeLastRuneInString(name)
	switch first := firstRune(name); {
	case first == '.', first == '-', untrusted.IsBlank(first), unicode.Is(unicode.M, first):
		return "must not start with a dot, a hyphen, a space or a combining mark"
	case last == '.', untrusted.IsBlank(last), untrusted.IsJoiner(last):
		return "must not end with a dot, a space or a joiner"
	case strings.Contains(name, ".."):
		return "must not have two dots in a row"
	case IsDevice(name):
		return "can't be saved on Windows, where it is the name of a device"
	}
	return ""
}

// Safe gives a valid name for a file: the name itself if Fault finds nothing wrong with
// it, else a similar name with the same extension.
func Safe(name string) string {
	if fault(name) == "" {
		return name
	}
	var b strings.Builder
	for c, visible := range untrusted.Characters(strings.ToValidUTF8(name, "_")) {
		switch {
		case strings.Contains(untrusted.Reserved, c), unicode.IsControl(firstRune(c)):
			b.WriteByte('_')
		case visible:
			b.WriteString(c)
		}
	}
	name = trim(b.String())
	for strings.Contains(name, "..") {
		name = strings.ReplaceAll(name, "..", ".")
	}
	if IsDevice(name) {
		stem, rest := cutStem(name)
		name = stem + "_" + rest
	}
	if len(name) > MaxBytes {
		name = shorten(name)
	}
	if name == "" {
		return "file"
	}
	return name
}

// trim removes characters that are not allowed at the beginning or end of a name.
func trim(name string) string {
	name = strings.TrimLeftFunc(name, func(r rune) bool {
		return r == '.' || r == '-' || untrusted.IsBlank(r) || untrusted.IsJoiner(r) || unicode.Is(unicode.M, r)
	})
	return strings.TrimRightFunc(name, func(r rune) bool { return r == '.' || untrusted.IsBlank(r) || untrusted.IsJoiner(r) })
}

// shorten cuts a name to MaxBytes and keeps its extension.
func shorten(name string) string {
	const longestEnding = 32
	ending := ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && len(name)-dot <= longestEnding {
		ending = name[dot:]
	}
	stem := name[:MaxBytes-len(ending)]
	for !utf8.ValidString(stem) { // the cut is within a character
		stem = stem[:len(stem)-1]
	}
	flag := strings.LastIndex(stem, string(untrusted.BlackFlag))
	if flag >= 0 && strings.TrimFunc(stem[flag+len(string(untrusted.BlackFlag)):], untrusted.IsTag) == "" {
		stem = stem[:flag] // half a flag
	}
	return trim(stem) + ending
}

// Fold gives the same text for two names that are the same file on some system: names
// that differ only in case, in their Unicode form, or in joiners.
func Fold(name string) string {
	if strings.IndexFunc(name, func(c rune) bool { return c >= utf8.RuneSelf }) < 0 {
		return strings.ToUpper(name) // as below, and faster
	}
	name = strings.Map(func(c rune) rune {
		if untrusted.IsJoiner(c) || unicode.Is(unicode.Variation_Selector, c) {
			return -1
		}
		return c
	}, name)
	return norm.NFD.String(strings.Map(smallestCase, cases.Fold().String(norm.NFD.String(name))))
}

// smallestCase gives the same character for all that differ only in case. It is needed
// since x/text folds each of the two cases of Cherokee into the other.
func smallestCase(c rune) rune {
	smallest := c
	for other := unicode.SimpleFold(c); other != c; other = unicode.SimpleFold(other) {
		smallest = min(smallest, other)
	}
	return smallest
}

// IsDevice reports whether a name, with any extension, is a device on Windows.
func IsDevice(name string) bool {
	stem, _ := cutStem(name)
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	if slices.Contains([]string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}, stem) {
		return true
	}
	port, ok := strings.CutPrefix(stem, "COM")
	if !ok {
		port, ok = strings.CutPrefix(stem, "LPT")
	}
	return ok && utf8.RuneCountInString(port) == 1 && strings.Contains("0123456789¹²³", port)
}

// cutStem splits a name before its first dot.
func cutStem(name string) (stem, rest string) {
	if dot := strings.IndexByte(name, '.'); dot >= 0 {
		return name[:dot], name[dot:]
	}
	return name, ""
}

func firstRune(s string) rune { c, _ := utf8.DecodeRuneInString(s); return c }
