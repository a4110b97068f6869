// Package scrub replaces secrets in a stream of bytes, such as the output of a
// command that was given them.
//
// It finds a secret as it is, and in the forms that programs print by accident:
// base64, hexadecimal, escaped for a URL and escaped for JSON. It finds them wherever
// the stream is cut into writes. It is no defence against a program that wants to give
// the secret away: whoever has a value can print it in a form that nobody knows.
package scrub

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"slices"
)

// MinLength is the length in bytes of the shortest value that is replaced. A shorter
// one stands in too much other text.
const MinLength = 4

// Secret is a value and the name that stands for it.
type Secret struct {
	Name  string
	Value []byte
}

// Writer copies what is written to it, with [NAME] in place of each secret. It holds
// back what may be the beginning of one; Close writes that.
//
// Of several that could be replaced, it takes the one that begins first, and of these
// the longest. A Writer is for one goroutine at a time.
type Writer struct {
	w        io.Writer
	patterns [][]pattern     // by the block at the end of their first shortest bytes
	shift    [1 << 16]uint8  // by block: how far the search may go on; 0 means that patterns may match
	bucket   [1 << 16]uint16 // by block: an index of patterns, plus one
	farthest uint8           // the largest of shift
	shortest int             // length of the shortest pattern
	all      []pattern       // in the order of their texts
	held     []byte          // not decided yet
	out      []byte
}

type pattern struct {
	text    []byte
	replace []byte
}

// NewWriter returns a Writer on w. Secrets whose values are shorter than MinLength are
// not replaced.
func NewWriter(w io.Writer, secrets []Secret) *Writer {
	s := &Writer{w: w}
	seen := map[string]bool{}
	for _, secret := range secrets {
		replace := []byte("[" + secret.Name + "]")
		for _, text := range forms(secret.Value) {
			if len(text) >= MinLength && !seen[string(text)] {
				seen[string(text)] = true
				s.all = append(s.all, pattern{text, replace})
			}
		}
	}
	s.index()
	return s
}

// index builds the tables of a Wu-Manber search with blocks of two bytes.
func (s *Writer) index() {
	if len(s.all) == 0 {
		return
	}
	// Longest first, so that the first that matches at a place is the one to take.
	slices.SortStableFunc(s.all, func(a, b pattern) int { return cmp.Compare(len(b.text), len(a.text)) })
	s.shortest = len(s.all[len(s.all)-1].text)
	s.farthest = uint8(min(s.shortest-1, 255))
	for i := range s.shift {
		s.shift[i] = s.farthest
	}
	for _, p := range s.all {
		for end := 2; end <= s.shortest; end++ {
			block := binary.LittleEndian.Uint16(p.text[end-2:])
			s.shift[block] = min(s.shift[block], uint8(min(s.shortest-end, 255)))
			if end < s.shortest {
				continue
			}
			if s.bucket[block] == 0 {
				s.patterns = append(s.patterns, nil)
				s.bucket[block] = uint16(len(s.patterns))
			}
			i := s.bucket[block] - 1
			s.patterns[i] = append(s.patterns[i], p)
		}
	}
	slices.SortFunc(s.all, func(a, b pattern) int { return bytes.Compare(a.text, b.text) })
}

// Write writes p, but for what it holds back. It returns the error of the writer below,
// and then says that nothing of p was written.
func (s *Writer) Write(p []byte) (int, error) {
	if s.shortest == 0 {
		return s.w.Write(p)
	}
	in := p
	if len(s.held) > 0 {
		s.held = append(s.held, p...)
		in = s.held
	}
	rest, err := s.scan(in, false)
	s.held = append(s.held[:0], rest...) // rest may be the end of held
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what was held back. It does not close the writer below.
func (s *Writer) Close() error {
	if len(s.held) == 0 {
		return nil
	}
	rest, err := s.scan(s.held, true)
	s.held = nil
	if err != nil || len(rest) == 0 {
		return err
	}
	_, err = s.w.Write(rest)
	return err
}

// scan writes in with the secrets replaced, up to where it can't be decided without
// more. Where the stream has ended, it decides all.
func (s *Writer) scan(in []byte, ended bool) (rest []byte, err error) {
	out := s.out[:0]
	done, at := 0, 0 // written, searched
	for at+s.shortest <= len(in) {
		block := binary.LittleEndian.Uint16(in[at+s.shortest-2:])
		switch far := s.shift[block]; far {
		case s.farthest: // the usual case: the processor predicts it, and does not wait for the table
			at += int(s.farthest)
			continue
		case 0:
		default:
			at += int(far)
			continue
		}
		p, more := s.match(s.bucket[block], in[at:])
		if more && !ended {
			break
		}
		if p == nil {
			at++
			continue
		}
		out = append(append(out, in[done:at]...), p.replace...)
		at += len(p.text)
		done = at
	}
	end := len(in)
	if !ended {
		end = max(done, s.open(in, at))
	}
	s.out = out
	if len(out) == 0 { // the usual case: nothing is copied
		if end > done {
			_, err = s.w.Write(in[done:end])
		}
		return in[end:], err
	}
	s.out = append(out, in[done:end]...)
	_, err = s.w.Write(s.out)
	return in[end:], err
}

// match finds the longest pattern that in begins with. More says that a longer one may
// come.
func (s *Writer) match(bucket uint16, in []byte) (longest *pattern, more bool) {
	for i := range s.patterns[bucket-1] {
		p := &s.patterns[bucket-1][i]
		switch {
		case len(p.text) > len(in):
			more = more || bytes.HasPrefix(p.text, in)
		case bytes.HasPrefix(in, p.text):
			return p, more
		}
	}
	return nil, more
}

// open is the first place from at on where a secret may have begun.
func (s *Writer) open(in []byte, at int) int {
	for ; at < len(in); at++ {
		rest := in[at:]
		i, _ := slices.BinarySearchFunc(s.all, rest, func(p pattern, rest []byte) int { return bytes.Compare(p.text, rest) })
		if i < len(s.all) && bytes.HasPrefix(s.all[i].text, rest) {
			return at
		}
	}
	return len(in)
}
