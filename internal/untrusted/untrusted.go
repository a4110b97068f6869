// Package untrusted formats text that somebody else wrote: a service's error, a file's
// name, metadata. The result is on one line, hides no characters and ends where its quotes
// end. So a reader, above all a model, can tell it from our own words.
package untrusted

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxQuote is how many characters of a service's text are shown.
const MaxQuote = 200

// Line gives a text on one line. It removes invisible characters, replaces each run of
// controls and blanks by one space, and cuts the text to max characters.
func Line(text string, max int) string {
	var b strings.Builder
	n, blank := 0, false
	for _, r := range text {
		switch {
		case unicode.IsControl(r), IsBlank(r), r == '\u2028', r == '\u2029':
			blank = n > 0
			continue
		case Invisible(r):
			continue
		}
		if blank {
			if n++; n > max {
				return b.String() + "…"
			}
			b.WriteByte(' ')
			blank = false
		}
		if n++; n > max {
			return b.String() + "…"
		}
		b.WriteRune(r) // U+FFFD for invalid UTF-8
	}
	return b.String()
}

// Quote gives Line in double quotes, with a backslash before each quote and backslash
// in it.
func Quote(text string, max int) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(Line(text, max)) + `"`
}

// EscapeJSON replaces every invisible character in valid JSON by its escape. The value stays
// the same, and a reader sees all of it.
func EscapeJSON(value []byte) []byte {
	// In valid JSON a control character is white space.
	hidden := func(r rune) bool { return r >= utf8.RuneSelf && Invisible(r) }
	if bytes.IndexFunc(value, hidden) < 0 {
		return value
	}
	out := make([]byte, 0, len(value)+64)
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		if !hidden(r) {
			out = append(out, value[:size]...)
		} else if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		} else {
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		value = value[size:]
	}
	return out
}

var shortMediaType = regexp.MustCompile(`^[A-Za-z0-9+.-]{1,20}/[A-Za-z0-9+.-]{1,80}$`)

// Label gives a content type, status or role for use in a sentence. It is unchanged if it
// is one of known or a short media type, and quoted otherwise.
func Label(text string, known ...string) string {
	if slices.Contains(known, text) || shortMediaType.MatchString(text) {
		return text
	}
	return Quote(text, 60)
}
