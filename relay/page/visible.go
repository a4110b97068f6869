package page

import (
	"fmt"
	"strings"
	"unicode"

	"kubbi-mcp/internal/untrusted"
)

// visible shows what can't be seen or would turn the text around it, so that
// nothing looks like what it is not. script/words.js does the same.
func visible(s string) string {
	text, _ := mask(s)
	return text
}

// mask is visible, and says whether it has shown anything.
func mask(s string) (text string, masked bool) {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var b strings.Builder
	done, before := 0, rune(0) // before is what stands before, 0 if that is shown
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

// hidden says whether a character can't be seen, as in the names of files.
func hidden(r rune) bool { return r != '\n' && r != '\t' && untrusted.Invisible(r) }

// stays says whether an unseen character belongs to what stands before it: a
// joiner where a script or an emoji needs one, a selector of a form. There is
// never a second one, so nothing can be written in them.
func stays(before, r rune) bool {
	const arabic = 0x600 // no script before it needs any
	switch {
	case r == '\u200c', r == '\u200d', r == '\u180e':
		return before >= arabic && (!hidden(before) || unicode.Is(unicode.Variation_Selector, before))
	case unicode.Is(unicode.Variation_Selector, r):
		return (before >= arabic || strings.ContainsRune("0123456789#*©®", before)) && !hidden(before)
	}
	return false
}
