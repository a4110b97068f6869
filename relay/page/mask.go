package page

import (
	"fmt"
	"strings"
	"unicode"

	"kubbi-mcp/internal/untrusted"
)

// visible replaces invisible characters, and those that reverse the text around them,
// so that no text can look like another one. script/format.js does the same.
func visible(s string) string {
	text, _ := mask(s)
	return text
}

// mask does what visible does, and reports whether it has replaced anything.
func mask(s string) (text string, masked bool) {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var b strings.Builder
	done, before := 0, rune(0) // before is the previous character, 0 if that was replaced
	for at, r := range s {
		switch {
		case !hidden(r), stays(before, r):
			before = r
			continue
		}
		b.WriteString(s[done:at])
		fmt.Fprintf(&b, "⟦U+%04X⟧", r)
		done, before, masked = at+len(string(r)), 0, true
	}
	if !masked {
		return s, false
	}
	b.WriteString(s[done:])
	return b.String(), true
}

// hidden reports whether a character is invisible, other than a line break or a tab.
func hidden(r rune) bool { return r != '\n' && r != '\t' && untrusted.Invisible(r) }

// stays reports whether an invisible character belongs to the character before it: a
// joiner that a script or an emoji needs, or a variation selector. There is never a
// second one, so nobody can hide a text in them.
func stays(before, r rune) bool {
	const arabic = 0x600 // no script below it needs a joiner
	switch {
	case untrusted.IsJoiner(r):
		return before >= arabic && (!hidden(before) || unicode.Is(unicode.Variation_Selector, before))
	case unicode.Is(unicode.Variation_Selector, r):
		return (before >= arabic || strings.ContainsRune("0123456789#*©®", before)) && !hidden(before)
	}
	return false
}
