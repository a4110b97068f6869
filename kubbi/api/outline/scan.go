package outline

import (
	"bytes"
	"io"
)

// scanner makes an outline of the pieces of a text.
type scanner struct {
	limit   int // of a string that stays
	keep    func([]byte) error
	content bool
	stream  bool // out is taken away as it grows, and left is of no use

	out  []byte
	left []Value
	off  int64 // of the piece, in the text
	kept int64

	state   state
	stack   []byte // '{' and '['
	name    bool   // the next string is a name
	token   int    // bytes of a number, or of what should be one
	value   Value  // that is being read
	mark    int    // where in out it began; -1: not in out, or nothing is being read
	isName  bool
	escaped bool // the last byte was a backslash within a string
	heir    bool // the last name was "content", of the outermost object
	depth   int  // within a value that is left out whole
	quoted  bool // within a string of it

	text Text
	b64  base64Check
}

type state int8

const (
	structure state = iota
	short           // a string that is in out
	long            // a string that is left out
	whole           // an array or object that may be left out
)

func newScanner() *scanner { return &scanner{limit: Short, mark: -1} }

// ready is what of out will not change.
func (s *scanner) ready() []byte {
	if s.mark >= 0 {
		return s.out[:s.mark]
	}
	return s.out
}

func (s *scanner) release(n int) {
	s.out = append(s.out[:0], s.out[n:]...)
	if s.mark >= 0 {
		s.mark -= n
	}
}

// scan takes the next piece.
func (s *scanner) scan(p []byte) error {
	for len(p) > 0 {
		var n int
		var err error
		switch s.state {
		case structure:
			n, err = s.scanStructure(p)
		case whole:
			n, err = s.scanWhole(p)
		default:
			n, err = s.scanString(p)
		}
		s.off += int64(n)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// end is what is wrong if the text ends here.
func (s *scanner) end() error {
	if s.state != structure {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// scanStructure goes on to the next string.
func (s *scanner) scanStructure(p []byte) (n int, err error) {
	for i, c := range p {
		switch c {
		case '"':
			s.out = append(s.out, p[:i+1]...)
			s.begin(short, len(s.out)-1, s.off+int64(i))
			s.isName, s.name = s.name, false
			return i + 1, nil
		case '{', '[':
			if s.content && s.heir && len(s.stack) == 1 {
				s.out = append(s.out, p[:i]...)
				s.begin(whole, len(s.out), s.off+int64(i))
				s.depth, s.quoted = 0, false
				return i, nil
			}
			if len(s.stack) == maxDepth {
				return i, &Error{s.off + int64(i), ErrSyntax}
			}
			s.stack = append(s.stack, c)
			s.name = c == '{'
		case '}', ']':
			s.stack = s.stack[:max(0, len(s.stack)-1)] // whether they match is the decoder's business
			s.name = false
		case ',':
			s.name = len(s.stack) > 0 && s.stack[len(s.stack)-1] == '{'
			s.heir = false
		case ':', ' ', '\t', '\r', '\n':
		default:
			if s.token++; s.stream && s.token > maxToken {
				return i, &Error{s.off + int64(i), ErrTooLarge}
			}
			continue
		}
		s.token = 0
	}
	s.out = append(s.out, p...)
	return len(p), nil
}

// begin starts a value whose first byte is, or will be, out[mark].
func (s *scanner) begin(state state, mark int, start int64) {
	s.state, s.mark, s.token = state, mark, 0
	s.value = Value{At: mark, Start: start, String: state == short, Base64: -1}
}

// scanString goes on to the string's end.
func (s *scanner) scanString(p []byte) (n int, err error) {
	n, ended := s.stringEnd(p)
	if s.state == short {
		s.out = append(s.out, p[:n]...)
		size := len(s.out) - s.mark - 1
		switch {
		case s.isName:
			if s.stream && size > maxToken {
				return n, &Error{s.off, ErrTooLarge}
			}
		case size > s.limit:
			s.state = long
			s.text, s.b64 = Text{}, base64Check{}
			if err := s.leaveOut(s.out[s.mark+1:], `""`); err != nil {
				return n, err
			}
		}
	} else if err := s.feed(p[:n]); err != nil {
		return n, err
	}
	if !ended {
		return n, nil
	}
	if s.state == long {
		if err := s.text.End(); err != nil {
			return n, &Error{s.off + int64(n), err}
		}
		s.value.Base64 = s.b64.size(s.value.Bytes)
		s.leftOut(s.off + int64(n) + 1)
	} else {
		s.out = append(s.out, '"')
		s.heir = s.isName && len(s.stack) == 1 && s.isContent(s.out[s.mark:])
	}
	s.state, s.mark = structure, -1
	return n + 1, nil
}

// isContent tells whether a name, in quotes, is "content".
func (s *scanner) isContent(name []byte) bool {
	const content = `"content"`
	if !s.content || len(name) > len(content)*len(`\u0000`) {
		return false
	}
	var plain []byte
	var t Text
	_ = t.Decode(name, func(b []byte) error { plain = append(plain, b...); return nil }) // the decoder will find it
	return string(plain) == content
}

// stringEnd gives the length of what of p is within the string.
func (s *scanner) stringEnd(p []byte) (n int, ended bool) {
	i, quote := 0, -1
	if s.escaped {
		s.escaped, i = false, 1
	}
	for {
		if quote < i {
			if quote = bytes.IndexByte(p[i:], '"'); quote < 0 {
				quote = len(p)
			} else {
				quote += i
			}
		}
		e := bytes.IndexByte(p[i:quote], '\\')
		if e < 0 {
			return quote, quote < len(p)
		}
		if i += e + 2; i > len(p) {
			s.escaped = true
			return len(p), false
		}
	}
}

// scanWhole goes on to the end of an array or object.
func (s *scanner) scanWhole(p []byte) (n int, err error) {
	for n < len(p) && (n == 0 || s.depth > 0) {
		if s.quoted {
			k, ended := s.stringEnd(p[n:])
			if n += k; ended {
				s.quoted = false
				n++
			}
			continue
		}
		switch p[n] {
		case '"':
			s.quoted = true
		case '{', '[':
			s.depth++
		case '}', ']':
			s.depth--
		}
		n++
	}
	ended := s.depth == 0 && !s.quoted
	if s.mark >= 0 {
		s.out = append(s.out, p[:n]...)
		if len(s.out)-s.mark > s.limit {
			if err := s.leaveOut(s.out[s.mark:], `{}`); err != nil {
				return n, err
			}
		}
	} else if err := s.take(p[:n]); err != nil {
		return n, err
	}
	if ended {
		if s.mark < 0 {
			s.leftOut(s.off + int64(n))
		}
		s.state, s.mark = structure, -1
	}
	return n, nil
}

// leaveOut takes out of the outline what turns out to be long.
func (s *scanner) leaveOut(seen []byte, stand string) error {
	s.value.Kept = s.kept
	take := s.take
	if s.value.String {
		take = s.feed
	}
	if err := take(seen); err != nil {
		return err
	}
	s.out = append(s.out[:s.mark], stand...)
	s.mark = -1
	return nil
}

// leftOut notes a value that was left out, and ends in the text at end.
func (s *scanner) leftOut(end int64) {
	if s.stream {
		return
	}
	s.value.End = end
	s.left = append(s.left, s.value)
}

func (s *scanner) take(p []byte) error {
	s.kept += int64(len(p))
	if s.keep == nil {
		return nil
	}
	return s.keep(p)
}

// feed takes a piece of a long string.
func (s *scanner) feed(p []byte) error {
	if err := s.take(p); err != nil {
		return err
	}
	if !s.b64.bad && len(s.text.carry) == 0 && bytes.IndexByte(p, '\\') < 0 {
		// What is base64 is plain ASCII: there is nothing to decode, and no need
		// to look at it twice.
		if s.b64.write(p); !s.b64.bad {
			s.value.Bytes += int64(len(p))
			return nil
		}
	}
	err := s.text.Decode(p, func(b []byte) error {
		s.value.Bytes += int64(len(b))
		s.b64.write(b)
		return nil
	})
	if err != nil {
		return &Error{s.off, err}
	}
	return nil
}
