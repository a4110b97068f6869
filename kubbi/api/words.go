package api

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxWords is how many characters are shown of what a service says.
const MaxWords = 200

// Plain gives a stranger's text on one line: without characters that can't be
// seen, with every control character and blank as one space, and cut to at most
// so many characters.
func Plain(text string, most int) string {
	var b strings.Builder
	n, blank := 0, false
	for _, r := range text {
		switch {
		case unicode.IsControl(r), isBlank(r), r == '\u2028', r == '\u2029':
			blank = n > 0
			continue
		case IsUnseen(r):
			continue
		}
		if blank {
			if n++; n > most {
				return b.String() + "…"
			}
			b.WriteByte(' ')
			blank = false
		}
		if n++; n > most {
			return b.String() + "…"
		}
		b.WriteRune(r) // one of invalid UTF-8 is U+FFFD
	}
	return b.String()
}

// Quote gives Plain in double quotes. A quote or a backslash within it has a
// backslash before it, so that the text can't end its own quotes.
func Quote(text string, most int) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(Plain(text, most)) + `"`
}

// SeenJSON gives JSON in which every character that can't be seen is written as
// an escape: the same value, with nothing hidden from who reads it.
func SeenJSON(value []byte) []byte {
	if !hasUnseenRune(value) {
		return value
	}
	out := make([]byte, 0, len(value)+64)
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		if r >= utf8.RuneSelf && size > 1 && IsUnseen(r) {
			if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
				out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
			} else {
				out = fmt.Appendf(out, `\u%04x`, r)
			}
		} else {
			out = append(out, value[:size]...)
		}
		value = value[size:]
	}
	return out
}

func hasUnseenRune(value []byte) bool {
	for i := 0; i < len(value); {
		if value[i] < utf8.RuneSelf { // in valid JSON a control is white space
			i++
			continue
		}
		r, size := utf8.DecodeRune(value[i:])
		if size > 1 && IsUnseen(r) {
			return true
		}
		i += size
	}
	return false
}

// Label gives a content type, status or role as it may stand in a sentence: as it
// is if it is one of the words that are known, else quoted and short.
func Label(text string, known ...string) string {
	for _, w := range known {
		if text == w {
			return text
		}
	}
	if isMediaType(text) {
		return text
	}
	return Quote(text, 60)
}

// isMediaType reports whether a text is a media type of two short tokens.
func isMediaType(text string) bool {
	kind, sub, ok := strings.Cut(text, "/")
	return ok && len(kind) <= 20 && len(sub) <= 80 && isToken(kind) && isToken(sub)
}

func isToken(text string) bool {
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("+.-", c) >= 0:
		default:
			return false
		}
	}
	return text != ""
}
