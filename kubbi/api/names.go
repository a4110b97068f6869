package api

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxFileName is how many bytes of UTF-8 a file's name may have, on Linux and on
// macOS. Windows counts UTF-16 units instead, of which 255 bytes hold no more.
const maxFileName = 255

// FileNameFault says what is wrong with the name of a file in a package, of at
// most limit bytes, and which name would do; "" for nothing.
//
// A good name is one that Linux, macOS and Windows can all save, and that shows
// what it is: letters, marks and digits of every script, emoji, spaces inside,
// and all punctuation but / \ : * ? " < > |. Neither Unicode form is preferred.
// Refused are characters that can't be seen or that turn the text around them,
// except joiners and variation selectors in their places; a dot, a space or a
// hyphen at the beginning; a dot or a space at the end; two dots in a row; and
// the names of devices on Windows, such as aux.h.
//
// The API reference has letters, digits and . _ - of ASCII only: see
// HostedFileName. More is an extension of our relay, which HeaderFileNames
// announces.
func FileNameFault(name string, limit int) string {
	why := fileNameFault(name, limit)
	if why == "" || name == "" || len(name) > 4*limit || !utf8.ValidString(name) { // nobody meant that as a name
		return why
	}
	return fmt.Sprintf(`%s: send it as "%s", for example`, why, safeFileName(name, limit))
}

func fileNameFault(name string, limit int) string {
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > limit:
		return fmt.Sprintf("must be at most %d bytes of UTF-8", limit)
	case !utf8.ValidString(name):
		return "must be valid UTF-8"
	}
	for at, before := 0, noRune; at < len(name); {
		size, kind := nextRune(name[at:], before)
		switch kind {
		case badRune:
			return `must not have any of / \ : * ? " < > |, which Windows can't save`
		case unseenRune:
			return fmt.Sprintf("must not have characters that can't be seen, such as U+%04X", firstRune(name[at:]))
		}
		at, before = at+size, kind
	}
	switch first := firstRune(name); {
	case first == '.', first == '-', isBlank(first), unicode.Is(unicode.M, first):
		return "must not start with a dot, a hyphen, a space or a combining mark"
	case strings.HasSuffix(name, "."), isBlank(lastRune(name)), isJoiner(lastRune(name)):
		return "must not end with a dot, a space or a joiner"
	case strings.Contains(name, ".."):
		return "must not have two dots in a row"
	case IsDeviceName(name):
		return "can't be saved on Windows, where it is the name of a device"
	}
	return ""
}

// SafeFileName gives the name that a file can be sent under: its own if
// FileNameFault finds nothing wrong with it, else one that is like it and keeps
// its ending.
func SafeFileName(name string) string { return safeFileName(name, maxFileName) }

func safeFileName(name string, limit int) string {
	if fileNameFault(name, limit) == "" {
		return name
	}
	name = strings.ToValidUTF8(name, "_")
	var b strings.Builder
	for at, before := 0, noRune; at < len(name); {
		size, kind := nextRune(name[at:], before)
		switch kind {
		case badRune:
			b.WriteByte('_')
		case unseenRune:
			if unicode.IsControl(firstRune(name[at:])) {
				b.WriteByte('_')
				kind = seenRune
			} else {
				kind = before // as if it were not there
			}
		default:
			b.WriteString(name[at : at+size])
		}
		at, before = at+size, kind
	}
	name = trimFileName(b.String())
	for strings.Contains(name, "..") {
		name = strings.ReplaceAll(name, "..", ".")
	}
	if IsDeviceName(name) {
		stem, rest := cutStem(name)
		name = stem + "_" + rest
	}
	if len(name) > limit {
		name = shortened(name, limit)
	}
	if name == "" {
		return "file"
	}
	return name
}

// trimFileName takes away what a name may not begin or end with.
func trimFileName(name string) string {
	name = strings.TrimLeftFunc(name, func(c rune) bool {
		return c == '.' || c == '-' || isBlank(c) || isJoiner(c) || unicode.Is(unicode.M, c)
	})
	return strings.TrimRightFunc(name, func(c rune) bool { return c == '.' || isBlank(c) || isJoiner(c) })
}

// shortened cuts a name's stem, so that its ending stays.
func shortened(name string, limit int) string {
	const longestEnding = 32
	ending := ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && len(name)-dot <= min(longestEnding, limit/2) {
		ending = name[dot:]
	}
	stem := name[:limit-len(ending)]
	for !utf8.ValidString(stem) { // the cut is within a character
		stem = stem[:len(stem)-1]
	}
	if at := strings.LastIndex(stem, "\U0001F3F4"); at >= 0 && strings.IndexFunc(stem[at+len("\U0001F3F4"):], isNoTag) < 0 {
		stem = stem[:at] // half a flag
	}
	return trimFileName(stem) + ending
}

// FoldFileName gives the same text for two names that some file system takes for
// one: they differ in case, in their Unicode form, or in joiners alone.
func FoldFileName(name string) string {
	if strings.IndexFunc(name, func(c rune) bool { return c >= utf8.RuneSelf }) < 0 {
		return strings.ToUpper(name) // as below, and faster
	}
	name = strings.Map(func(c rune) rune {
		if isJoiner(c) || unicode.Is(unicode.Variation_Selector, c) {
			return -1
		}
		return c
	}, name)
	return norm.NFD.String(strings.Map(smallestCase, cases.Fold().String(norm.NFD.String(name))))
}

// smallestCase gives one character for all that differ in case alone: x/text folds
// the two cases of Cherokee into each other.
func smallestCase(c rune) rune {
	smallest := c
	for other := unicode.SimpleFold(c); other != c; other = unicode.SimpleFold(other) {
		smallest = min(smallest, other)
	}
	return smallest
}

// What a character is in a name.
type runeKind int

const (
	noRune       runeKind = iota // the beginning of the name
	seenRune                     // can stand anywhere
	selectorRune                 // a variation selector behind what it selects
	joinerRune                   // a joiner behind what it joins
	badRune                      // can be seen, and can't be saved on Windows
	unseenRune                   // can't be seen, or has no meaning that all agree on
)

// nextRune looks at the first character of s, and at what is before it. The flags
// of England, Scotland and Wales count as one character: U+1F3F4 and tags.
func nextRune(s string, before runeKind) (size int, _ runeKind) {
	c, size := utf8.DecodeRuneInString(s)
	switch {
	case c == '\U0001F3F4':
		return size + tagsOfFlag(s[size:]), seenRune
	case strings.ContainsRune(`/\:*?"<>|`, c):
		return size, badRune
	case isJoiner(c) && (before == seenRune || before == selectorRune):
		return size, joinerRune
	case unicode.Is(unicode.Variation_Selector, c) && before == seenRune:
		return size, selectorRune
	case IsUnseen(c):
		return size, unseenRune
	}
	return size, seenRune
}

// HasUnseen reports whether a text has a character that can't be seen and is no
// joiner or selector in its place.
func HasUnseen(text string) bool {
	for at, before := 0, noRune; at < len(text); {
		size, kind := nextRune(text[at:], before)
		if kind == unseenRune {
			return true
		}
		at, before = at+size, kind
	}
	return false
}

// IsUnseen reports whether a character has no look of its own, or none that all
// agree on: controls, joiners, selectors, marks that turn the text around them,
// private use. What Unicode has not assigned yet may be a letter or an emoji of a
// later version.
func IsUnseen(c rune) bool {
	switch {
	case c < utf8.RuneSelf:
		return unicode.IsControl(c)
	case unicode.Is(unicode.Prepended_Concatenation_Mark, c):
		return false // signs of Arabic and others: Cf, and seen
	case c&0xfffe == 0xfffe, c >= 0xfdd0 && c <= 0xfdef: // noncharacters
		return true
	}
	return unicode.In(c, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp,
		unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// isJoiner reports whether a character joins or parts the letters around it, as
// Persian, the scripts of India, Mongolian and emoji need it.
func isJoiner(c rune) bool { return c == '\u200c' || c == '\u200d' || c == '\u180e' }

// isBlank reports whether a character is a space of any kind.
func isBlank(c rune) bool { return unicode.Is(unicode.Zs, c) || c == '\u2800' }

// tagsOfFlag gives the length of the tags that s begins with, if they end as
// those of a flag do; else 0.
func tagsOfFlag(s string) int {
	const first, last, mostTags = 0xe0020, 0xe007e, 8
	size := 0
	for n := 0; n <= mostTags; n++ {
		c, width := utf8.DecodeRuneInString(s[size:])
		switch size += width; {
		case c == 0xe007f && n > 0:
			return size
		case c < first || c > last:
			return 0
		}
	}
	return 0
}

func isNoTag(c rune) bool { return c < 0xe0020 || c > 0xe007e }

// IsDeviceName reports whether Windows takes a name for a device, whatever its
// ending.
func IsDeviceName(name string) bool {
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
func lastRune(s string) rune  { c, _ := utf8.DecodeLastRuneInString(s); return c }
