// Package outline reads JSON texts that are too large to hold: it leaves long
// strings out, and says where they were and what they come to. What is left is
// a small JSON text of the same shape, for an ordinary decoder.
//
// It checks the strings that it leaves out (UTF-8, escapes), and nothing else:
// an outline is valid JSON if and only if the text is, but for a value left out
// whole, which NewReader helps to check. Memory is bounded, whatever comes in.
package outline

import (
	"errors"
	"fmt"
	"io"
	"sort"
)

// Short is up to how many bytes a string stays in the outline.
const Short = 4 << 10

const (
	bufferSize = 64 << 10
	maxDepth   = 10000    // as jsontext has it
	maxToken   = 64 << 10 // of a name or a number, where a text is read as a stream
)

// What may be wrong with a text, as the cause of an *Error.
var (
	ErrTooLarge  = errors.New("too much stands outside of its long strings")
	ErrUTF8      = errors.New("a string is not valid UTF-8")
	ErrSurrogate = errors.New("a string has half a surrogate pair")
	ErrSyntax    = errors.New("not valid JSON")
)

// Error says where a text is not what it should be. It quotes nothing.
type Error struct {
	Offset int64 // in the text, about
	err    error
}

// Error gives cause and place.
func (e *Error) Error() string { return fmt.Sprintf("%v (at byte %d)", e.err, e.Offset) }

// Unwrap gives one of this package's errors.
func (e *Error) Unwrap() error { return e.err }

// Config changes what Read does.
type Config struct {
	// Short is up to how many bytes a string, or the content, stays in the outline;
	// 0: the constant Short.
	Short int
	// Max is how many bytes the outline may have; more is ErrTooLarge.
	Max int
	// Content has the value of the member "content" of the outermost object
	// left out, too, if it is a long array or object.
	Content bool
	// Keep gets the bytes that are left out as they stand in the text, one
	// value after the other, of a string what is between its quotes. Its error ends
	// Read. nil: nobody wants them.
	Keep func([]byte) error
}

// Outline is a JSON text without its long values.
type Outline struct {
	// JSON has "" where a string was left out, and {} for another value.
	JSON []byte
	// Left are the values left out, in order.
	Left []Value
}

// Value is a value that was left out.
type Value struct {
	At         int   // where its stand-in begins, in the outline
	Start, End int64 // where it stands in the text, quotes included
	Kept       int64 // how many bytes Keep had got before it
	String     bool
	Bytes      int64 // of a string: its length in UTF-8
	Base64     int64 // of a string that is base64: its length decoded, else -1
}

// standIn is the length of what stands in for a value.
const standIn = 2

// Read reads a text to its end. Its errors are those of r and of Keep, an
// *Error, or io.ErrUnexpectedEOF where the text ends within a value.
func Read(r io.Reader, c Config) (*Outline, error) {
	s := newScanner()
	s.keep, s.content = c.Keep, c.Content
	if c.Short > 0 {
		s.limit = c.Short
	}
	buf := make([]byte, bufferSize)
	for {
		n, err := r.Read(buf)
		if serr := s.scan(buf[:n]); serr != nil {
			return nil, serr
		}
		if len(s.out) > c.Max {
			return nil, &Error{s.off, ErrTooLarge}
		}
		if err == io.EOF {
			return &Outline{JSON: s.out, Left: s.left}, s.end()
		}
		if err != nil {
			return nil, err
		}
	}
}

// Pos gives the place in the text of a place in the outline.
func (o *Outline) Pos(i int) int64 {
	n := sort.Search(len(o.Left), func(k int) bool { return o.Left[k].At+standIn > i })
	if n == 0 {
		return int64(i)
	}
	last := o.Left[n-1]
	return last.End + int64(i-last.At-standIn)
}

// In gives the values left out between two places of the outline.
func (o *Outline) In(start, end int) []Value {
	from := sort.Search(len(o.Left), func(k int) bool { return o.Left[k].At >= start })
	to := sort.Search(len(o.Left), func(k int) bool { return o.Left[k].At >= end })
	return o.Left[from:max(from, to)]
}

// Reader gives the outline of a text as it is read.
type Reader struct {
	r   io.Reader
	s   *scanner
	buf []byte
	err error
}

// NewReader gives the outline of a text as a stream, which is as short-winded
// as a decoder of tokens likes it: no string but a member's name is long, and
// a longer name or number than 64 KiB is ErrTooLarge.
func NewReader(r io.Reader) *Reader {
	s := newScanner()
	s.stream = true
	return &Reader{r: r, s: s, buf: make([]byte, 8<<10)}
}

// Read implements io.Reader. Its errors are those of the function Read.
func (r *Reader) Read(p []byte) (int, error) {
	for {
		if n := copy(p, r.s.ready()); n > 0 {
			r.s.release(n)
			return n, nil
		}
		if r.err != nil || len(p) == 0 {
			return 0, r.err
		}
		n, err := r.r.Read(r.buf)
		if r.err = r.s.scan(r.buf[:n]); r.err == nil && err != nil {
			r.err = err
			if err == io.EOF {
				if end := r.s.end(); end != nil {
					r.err = end
				}
			}
		}
	}
}
