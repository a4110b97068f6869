// Package content checks that a payload is what its sender says: UTF-8 text or one JSON
// value. It reads the payload in pieces and keeps none of it in memory. It also checks the
// form of media types.
package content

import "unicode/utf8"

// Check checks content that comes in pieces. A fault says what is wrong: it begins with a
// verb and does not quote the content. "" means no fault.
type Check interface {
	// Write checks the next piece.
	Write(p []byte) (fault string)
	// End checks the end of the content.
	End() (fault string)
}

// Bytes is the Check for content that may be anything. It finds no faults.
type Bytes struct{}

// Write implements Check.
func (Bytes) Write([]byte) string { return "" }

// End implements Check.
func (Bytes) End() string { return "" }

const notUTF8 = "must be valid UTF-8"

// Text checks that content is UTF-8. Its zero value is ready.
type Text struct {
	cut [utf8.UTFMax]byte // the incomplete rune at the end of the last piece
	n   int               // its bytes
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

// WholeRunes is the length of p without an incomplete rune at its end.
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
