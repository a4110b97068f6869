package outline

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Text decodes what stands between the quotes of a JSON string, in pieces. Its
// zero value is ready.
type Text struct {
	carry []byte // an escape or a rune that the last piece has cut
	buf   [utf8.UTFMax]byte
}

// Decode gives the next piece, decoded, to f in one or more calls; what f gets
// is valid during the call. Its errors are ErrUTF8, ErrSurrogate and ErrSyntax,
// and those of f.
func (t *Text) Decode(p []byte, f func([]byte) error) error {
	for len(t.carry) > 0 && len(p) > 0 {
		t.carry = append(t.carry, p[0])
		p = p[1:]
		rest, err := t.decode(t.carry, f)
		if err != nil {
			return err
		}
		t.carry = append(t.carry[:0], rest...)
	}
	rest, err := t.decode(p, f)
	if err != nil {
		return err
	}
	t.carry = append(t.carry, rest...)
	return nil
}

// End says whether the string may end here.
func (t *Text) End() error {
	switch {
	case len(t.carry) == 0:
		return nil
	case t.carry[0] != '\\':
		return ErrUTF8
	case len(t.carry) >= len(`\ud800`):
		return ErrSurrogate
	}
	return ErrSyntax
}

// decode decodes as much of p as is whole and gives back the rest.
func (t *Text) decode(p []byte, f func([]byte) error) (rest []byte, err error) {
	for len(p) > 0 {
		if p[0] != '\\' {
			n := bytes.IndexByte(p, '\\')
			whole := n
			if n < 0 {
				n = len(p)
				whole = WholeRunes(p)
			}
			if err := check(p[:whole]); err != nil {
				return nil, err
			}
			if whole > 0 {
				if err := f(p[:whole]); err != nil {
					return nil, err
				}
			}
			if whole < n {
				return p[whole:], nil
			}
			p = p[n:]
			continue
		}
		b, n, err := t.escape(p)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return p, nil
		}
		if err := f(b); err != nil {
			return nil, err
		}
		p = p[n:]
	}
	return nil, nil
}

// escape decodes the escape that p begins with, n bytes of it; 0: p is too
// short to tell.
func (t *Text) escape(p []byte) (b []byte, n int, err error) {
	const unicode = len(`\u0000`)
	if len(p) < 2 {
		return nil, 0, nil
	}
	if i := strings.IndexByte(`"\/bfnrt`, p[1]); i >= 0 {
		return append(t.buf[:0], "\"\\/\b\f\n\r\t"[i]), 2, nil
	}
	if p[1] != 'u' {
		return nil, 0, ErrSyntax
	}
	if len(p) < unicode {
		return nil, 0, nil
	}
	r, ok := hex4(p[2:])
	if !ok {
		return nil, 0, ErrSyntax
	}
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(t.buf[:0], r), unicode, nil
	}
	next := p[unicode:]
	if len(next) > 0 && next[0] != '\\' || len(next) > 1 && next[1] != 'u' {
		return nil, 0, ErrSurrogate
	}
	if len(next) < unicode {
		return nil, 0, nil
	}
	low, ok := hex4(next[2:])
	if !ok {
		return nil, 0, ErrSyntax
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return nil, 0, ErrSurrogate
	}
	return utf8.AppendRune(t.buf[:0], r), 2 * unicode, nil
}

func hex4(p []byte) (r rune, ok bool) {
	for _, c := range p[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// check says whether p may stand in a JSON string as it is. Most of what comes
// is ASCII, eight bytes at a time.
func check(p []byte) error {
	const ones = 0x0101010101010101
	ascii, control, rest := true, false, p
	for len(rest) >= 8 {
		x := binary.LittleEndian.Uint64(rest)
		ascii = ascii && x&(0x80*ones) == 0
		control = control || (x-0x20*ones)&^x&(0x80*ones) != 0
		rest = rest[8:]
	}
	for _, c := range rest {
		ascii = ascii && c < utf8.RuneSelf
		control = control || c < ' '
	}
	if !ascii && !utf8.Valid(p) {
		return ErrUTF8
	}
	if control {
		return ErrSyntax
	}
	return nil
}

// Plain says whether p is ASCII that stands in a JSON string as it is, eight
// bytes at a time.
func Plain(p []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	zero := func(x uint64) uint64 { return (x - ones) &^ x & tops } // has a byte that is 0
	for ; len(p) >= 8; p = p[8:] {
		x := binary.LittleEndian.Uint64(p)
		if x&tops|(x-0x20*ones)&^x&tops|zero(x^'"'*ones)|zero(x^'\\'*ones) != 0 {
			return false
		}
	}
	for _, c := range p {
		if c >= utf8.RuneSelf || c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// WholeRunes is the length of the longest beginning of p that cuts no rune.
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

// decoded is a reader of what decode makes of another's bytes.
type decoded struct {
	r      io.Reader
	in     []byte
	buf    []byte
	out    []byte // of buf, not yet read
	decode func(dst, p []byte) ([]byte, error)
	end    func() error
	err    error
}

// NewTextReader decodes what stands between the quotes of a JSON string.
func NewTextReader(r io.Reader) io.Reader {
	var t Text
	d := &decoded{r: r, in: make([]byte, bufferSize/2), end: t.End}
	d.decode = func(dst, p []byte) ([]byte, error) {
		err := t.Decode(p, func(b []byte) error { dst = append(dst, b...); return nil })
		return dst, err
	}
	return d
}

// Read implements io.Reader.
func (d *decoded) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		n, err := d.r.Read(d.in)
		d.buf, d.err = d.decode(d.buf[:0], d.in[:n])
		d.out = d.buf
		if d.err == nil && err == io.EOF {
			if err = d.end(); err == nil {
				err = io.EOF
			}
		}
		if d.err == nil {
			d.err = err
		}
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}
