package kubbi

import "unicode/utf8"

// utf8Check tells whether the pieces of a text are UTF-8 together. Its zero value is
// ready.
type utf8Check struct {
	cut [utf8.UTFMax]byte // the beginning of a rune that a piece has cut
	n   int
}

// goesOn checks the next piece.
func (c *utf8Check) goesOn(p []byte) bool {
	for c.n > 0 && len(p) > 0 {
		c.cut[c.n], p = p[0], p[1:]
		c.n++
		if begun := c.cut[:c.n]; utf8.FullRune(begun) {
			if !utf8.Valid(begun) {
				return false
			}
			c.n = 0
		}
	}
	if len(p) == 0 {
		return true
	}
	whole := wholeRunes(p)
	c.n = copy(c.cut[:], p[whole:])
	return utf8.Valid(p[:whole])
}

// ends reports whether the text may end here.
func (c *utf8Check) ends() bool { return c.n == 0 }

// wholeRunes is the length of the longest beginning of p that cuts no rune.
func wholeRunes(p []byte) int {
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
