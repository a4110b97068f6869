// Package content checks what a payload's content is said to be: UTF-8 text, JSON, a media
// type. It checks content that comes in pieces, and holds none of it in memory.
package content

import "unicode/utf8"

// Check checks content. A fault begins with a verb and quotes nothing; "" means no fault.
type Check interface {
	// Write checks the next piece.
	Write(p []byte) (fault string)
	// End checks that the content may end here.
	End() (fault string)
}

// Bytes checks content that may be anything.
type Bytes struct{}

// Write implements Check.
func (Bytes) Write([]byte) string { return "" }

// End implements Check.
func (Bytes) End() string { return "" }

const notUTF8 = "must be valid UTF-8"

// Text checks that content is UTF-8. Its zero value is ready.
type Text struct {
	cut [utf8.UTFMax]byte // the start of a rune, at the end of the last piece
	n   int               // bytes of cut
}

// Write implements Check.
func (c *Text) Write(p []byte) string {
	for c.n > 0 && len(p) > 0 {
		c.cut[c.n] = p[0]
		c.n++
		p = p[1:]
		if b := c.cut[:c.n]; utf8.FullRune(b) {
			if !utf8.Valid(b) {
				return notUTF8
			}
			c.n = 0
		}
	}
	whole := WholeRunes(p)
	if !utf8.Valid(p[:whole]) {
		return notUTF8
	}
	if whole < len(p) {
		c.n = copy(c.cut[:], p[whole:])
	}
	return ""
}

// End implements Check.
func (c *Text) End() string {
	if c.n > 0 {
		return notUTF8
	}
	return ""
}

// WholeRunes is the length of the longest prefix of p that cuts no rune.
func WholeRunes(p []byte) int {
	for i := 1; i <= min(len(p), utf8.UTFMax); i++ {
		if start := len(p) - i; utf8.RuneStart(p[start]) {
			if utf8.FullRune(p[start:]) {
				return len(p)
			}
			return start
		}
	}
	return len(p)
}
