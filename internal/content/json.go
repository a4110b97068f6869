package content

import (
	"fmt"
	"strings"
)

// maxDepth is how deep arrays and objects may be nested: jsontext's limit.
const maxDepth = 10000

// JSON checks that content is one JSON value, by jsontext's rules except that duplicate
// names are allowed. It keeps only the open brackets in memory, where a decoder would keep
// a whole string. Its zero value is ready.
type JSON struct {
	text  Text
	state state
	open  []byte // the closing brackets that are expected
	name  bool   // the string is a member's name
	word  string // the rest of true, false or null that is expected
	hex   int    // digits of \u that are expected
	unit  uint16 // UTF-16 unit of \u so far
	high  bool   // after the first half of a surrogate pair
	n     int64  // valid bytes so far
}

type state int8

const (
	wantValue   state = iota
	wantElement       // or the end of an empty array
	wantName
	wantMember // or the end of an empty object
	wantColon
	wantMore // a comma, or an end
	inString
	inEscape
	inHex
	wantLow  // the \ of the second half of a surrogate pair
	wantLowU // its u
	inWord
	inMinus
	inZero
	inInteger
	inPoint
	inFraction
	inE
	inSign
	inExponent
)

func (c *JSON) fault() string {
	return fmt.Sprintf("must be valid JSON, and is not at byte %d", c.n)
}

// Write implements Check.
func (c *JSON) Write(p []byte) string {
	if fault := c.text.Write(p); fault != "" {
		return fault
	}
	for i := 0; i < len(p); i++ {
		if c.state == inString {
			begun := i
			for i < len(p) && p[i] != '"' && p[i] != '\\' && p[i] >= ' ' {
				i++
			}
			if c.n += int64(i - begun); i == len(p) {
				break
			}
		}
		if !c.next(p[i]) {
			return c.fault()
		}
		c.n++
	}
	return ""
}

// End implements Check.
func (c *JSON) End() string {
	if fault := c.text.End(); fault != "" {
		return fault
	}
	if !c.numberMayEnd() && c.state != wantMore || len(c.open) > 0 {
		return "must be valid JSON, and ends early"
	}
	return ""
}

// numberMayEnd reports whether a number may end here.
func (c *JSON) numberMayEnd() bool {
	return c.state == inZero || c.state == inInteger || c.state == inFraction || c.state == inExponent
}

// next reads one byte and reports whether the byte is valid at this place. So do the
// methods below.
func (c *JSON) next(b byte) bool {
	switch c.state {
	case inString, inEscape, inHex, wantLow, wantLowU:
		return c.inside(b)
	case inWord:
		if b != c.word[0] {
			return false
		}
		if c.word = c.word[1:]; c.word == "" {
			c.state = wantMore
		}
		return true
	}
	if c.state >= inMinus {
		if c.digit(b) {
			return true
		}
		if !c.numberMayEnd() {
			return false
		}
		c.state = wantMore
	}
	if b == ' ' || b == '\t' || b == '\n' || b == '\r' {
		return true
	}
	return c.outside(b)
}

// outside reads a byte outside strings, words and numbers.
func (c *JSON) outside(b byte) bool {
	switch c.state {
	case wantValue:
		return c.value(b)
	case wantElement:
		return b == ']' && c.closeBracket(b) || c.value(b)
	case wantName, wantMember:
		if b == '"' {
			c.state, c.name = inString, true
			return true
		}
		return c.state == wantMember && c.closeBracket(b)
	case wantColon:
		c.state = wantValue
		return b == ':'
	case wantMore:
		if b != ',' {
			return c.closeBracket(b)
		}
		if len(c.open) == 0 {
			return false
		}
		c.state = wantValue
		if c.open[len(c.open)-1] == '}' {
			c.state = wantName
		}
		return true
	}
	return false
}

// closeBracket reads the end of an array or object.
func (c *JSON) closeBracket(b byte) bool {
	last := len(c.open) - 1
	if last < 0 || c.open[last] != b {
		return false
	}
	c.open, c.state = c.open[:last], wantMore
	return true
}

// value reads a value's first byte.
func (c *JSON) value(b byte) bool {
	switch {
	case b == '{':
		c.open, c.state = append(c.open, '}'), wantMember
		return len(c.open) <= maxDepth
	case b == '[':
		c.open, c.state = append(c.open, ']'), wantElement
		return len(c.open) <= maxDepth
	case b == '"':
		c.state, c.name = inString, false
	case b == '-':
		c.state = inMinus
	case b == '0':
		c.state = inZero
	case '1' <= b && b <= '9':
		c.state = inInteger
	case b == 't':
		c.state, c.word = inWord, "rue"
	case b == 'f':
		c.state, c.word = inWord, "alse"
	case b == 'n':
		c.state, c.word = inWord, "ull"
	default:
		return false
	}
	return true
}

// afterNumber holds, for each state within a number, the state after a zero, another
// digit, a point, an e and a sign. 0 means that the byte is not valid there.
var afterNumber = [...]struct{ zero, digit, point, e, sign state }{
	inMinus:    {zero: inZero, digit: inInteger},
	inZero:     {point: inPoint, e: inE},
	inInteger:  {zero: inInteger, digit: inInteger, point: inPoint, e: inE},
	inPoint:    {zero: inFraction, digit: inFraction},
	inFraction: {zero: inFraction, digit: inFraction, e: inE},
	inE:        {zero: inExponent, digit: inExponent, sign: inSign},
	inSign:     {zero: inExponent, digit: inExponent},
	inExponent: {zero: inExponent, digit: inExponent},
}

// digit reads a byte of a number. It returns false if the byte does not belong to the
// number.
func (c *JSON) digit(b byte) bool {
	after, next := afterNumber[c.state], state(0)
	switch {
	case b == '0':
		next = after.zero
	case '1' <= b && b <= '9':
		next = after.digit
	case b == '.':
		next = after.point
	case b == 'e' || b == 'E':
		next = after.e
	case b == '+' || b == '-':
		next = after.sign
	}
	if next == 0 {
		return false
	}
	c.state = next
	return true
}

// inside reads a byte of a string.
func (c *JSON) inside(b byte) bool {
	switch c.state {
	case inString:
		switch {
		case b == '\\':
			c.state = inEscape
		case b != '"':
			return b >= ' '
		case c.name:
			c.state = wantColon
		default:
			c.state = wantMore
		}
		return true
	case wantLow, wantLowU:
		if c.state == wantLow {
			c.state = wantLowU
			return b == '\\'
		}
		c.state, c.hex, c.unit = inHex, 4, 0
		return b == 'u'
	case inEscape:
		if b == 'u' {
			c.state, c.hex, c.unit = inHex, 4, 0
			return true
		}
		c.state = inString
		return strings.IndexByte(`"\/bfnrt`, b) >= 0
	}
	var digit byte
	switch {
	case '0' <= b && b <= '9':
		digit = b - '0'
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		digit = b | 0x20 - 'a' + 10
	default:
		return false
	}
	c.unit = c.unit<<4 | uint16(digit)
	if c.hex--; c.hex > 0 {
		return true
	}
	low := c.unit>>10 == 0xdc00>>10
	switch {
	case low != c.high:
		return false
	case c.unit>>10 == 0xd800>>10:
		c.state, c.high = wantLow, true
	default:
		c.state, c.high = inString, false
	}
	return true
}
