package relay

import "unicode/utf8"

// contentCheck tells whether content that comes in pieces is what it is said to be.
// A fault begins with a verb, and quotes nothing; "" is none.
type contentCheck interface {
	write(p []byte) (fault string)
	end() (fault string)
}

// anyBytes is content that may be anything.
type anyBytes struct{}

func (anyBytes) write([]byte) string { return "" }
func (anyBytes) end() string         { return "" }

const notUTF8 = "must be valid UTF-8"

// textCheck is that of a text. Its zero value is ready.
type textCheck struct {
	cut [utf8.UTFMax]byte // a rune that the last piece has cut
	n   int               // bytes of cut
}

func (c *textCheck) write(p []byte) string {
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
	whole := wholeRunes(p)
	if !utf8.Valid(p[:whole]) {
		return notUTF8
	}
	if whole < len(p) {
		c.n = copy(c.cut[:], p[whole:])
	}
	return ""
}

func (c *textCheck) end() string {
	if c.n > 0 {
		return notUTF8
	}
	return ""
}

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
