package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

// Sizes of the line reader, in bytes.
const (
	readBuffer = 64 << 10
	maxChunk   = 1 << 20
	keptEnds   = 4 << 10 // of a line that is too long, at each end
)

// input is what the reader found: a line, or the ends of one that is too long.
type input struct {
	line       []byte
	tooLong    bool
	head, tail []byte
}

// reading is a goroutine that reads lines.
type reading struct {
	inputs chan input    // closed at the end
	ended  chan struct{} // closed after it
	err    error         // why it ended; to be read after that
}

// startReader reads lines until r or ctx ends. It reads one ahead.
func startReader(ctx context.Context, r io.Reader, max int) *reading {
	rd := &reading{inputs: make(chan input), ended: make(chan struct{})}
	go func() {
		defer close(rd.ended)
		defer close(rd.inputs)
		lines := newLineReader(r, max)
		for {
			in, err := lines.next()
			if err != nil {
				rd.err = err
				return
			}
			select {
			case rd.inputs <- in:
			case <-ctx.Done():
				return
			}
		}
	}()
	return rd
}

// lineReader reads lines of at most max bytes. What is longer is read to its
// end and dropped, so that the line after it can be served.
type lineReader struct {
	r   *bufio.Reader
	max int
}

func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, readBuffer), max: max}
}

// next gives the next line, without its end. The line is the caller's to keep.
// A last line without an end counts as one.
//
// A long line is gathered in chunks and copied once into a slice of its own
// size: growing one slice would leave more behind for the collector.
func (l *lineReader) next() (input, error) {
	part, err := l.r.ReadSlice('\n')
	if err == nil || err == io.EOF && len(part) > 0 {
		if len(part) > l.max+1 {
			return input{tooLong: true, head: start(part), tail: end(part)}, nil
		}
		return input{line: bytes.Clone(bytes.TrimSuffix(part, []byte("\n")))}, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return input{}, err
	}
	chunks := [][]byte{bytes.Clone(part)}
	size := len(part)
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = l.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && err != io.EOF {
			return input{}, err
		}
		size += len(part)
		if size > l.max+1 {
			return l.skip(chunks[0], part, err)
		}
		for len(part) > 0 {
			last := &chunks[len(chunks)-1]
			if len(*last) == cap(*last) {
				chunks = append(chunks, make([]byte, 0, min(2*cap(*last), maxChunk)))
				continue
			}
			n := min(cap(*last)-len(*last), len(part))
			*last = append(*last, part[:n]...)
			part = part[n:]
		}
	}
	line := make([]byte, 0, size)
	for _, c := range chunks {
		line = append(line, c...)
	}
	return input{line: bytes.TrimSuffix(line, []byte("\n"))}, nil
}

// skip reads the rest of a line that is too long.
func (l *lineReader) skip(first, part []byte, err error) (input, error) {
	in := input{tooLong: true, head: start(first)}
	var tail []byte
	for {
		if len(part) >= keptEnds {
			tail = append(tail[:0], part[len(part)-keptEnds:]...)
		} else {
			tail = end(append(tail, part...))
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
		part, err = l.r.ReadSlice('\n')
	}
	if err != nil && err != io.EOF {
		return input{}, err
	}
	in.tail = tail
	return in, nil
}

func start(b []byte) []byte { return bytes.Clone(b[:min(len(b), keptEnds)]) }
func end(b []byte) []byte   { return bytes.Clone(b[max(0, len(b)-keptEnds):]) }
