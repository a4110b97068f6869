package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
)

// Sizes of the line reader, in bytes.
const (
	readBuffer = 64 << 10
	maxChunk   = 1 << 20
	keptEnds   = 4 << 10 // of a line that is too long, at each end
	keptChunks = 5       // 64 KiB, doubled up to 1 MiB: 1,984 KiB in all
)

// input is a line, or the ends of a line that is too long.
type input struct {
	line       []byte
	tooLong    bool
	head, tail []byte
}

// reading is a goroutine that reads lines.
type reading struct {
	inputs chan input    // closed at the end
	ended  chan struct{} // closed after it
	err    error         // why it ended; valid once ended is closed
}

// startReader reads lines until r or ctx ends. It reads one line ahead.
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

// lineReader reads lines of at most max bytes. It reads a longer line to its end and
// drops it, so that the next one can be served.
type lineReader struct {
	r      *bufio.Reader
	max    int
	chunks [][]byte // kept for the next long line; about 2 MiB
}

func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, readBuffer), max: max}
}

// next gives the next line without its end. The caller may keep it. A last line
// needs no end.
//
// A long line is read into chunks and then copied into one slice of its size. The
// first chunks are used again. A slice that grows would leave garbage of more than
// twice the size.
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
	g := gatherer{kept: l.chunks}
	g.add(part)
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = l.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && err != io.EOF {
			return input{}, err
		}
		if g.size+len(part) > l.max+1 {
			return l.skip(g.chunks[0], part, err)
		}
		g.add(part)
	}
	line := bytes.Join(g.chunks, nil)
	if len(g.chunks) > keptChunks {
		g.chunks = slices.Clone(g.chunks[:keptChunks]) // the others are garbage now
	}
	if len(g.chunks) > len(l.chunks) {
		l.chunks = g.chunks
	}
	return input{line: bytes.TrimSuffix(line, []byte("\n"))}, nil
}

// gatherer collects the parts of a long line.
type gatherer struct {
	chunks, kept [][]byte
	size         int
}

func (g *gatherer) add(part []byte) {
	g.size += len(part)
	for len(part) > 0 {
		last := len(g.chunks) - 1
		if last < 0 || len(g.chunks[last]) == cap(g.chunks[last]) {
			if last++; last < len(g.kept) {
				g.chunks = append(g.chunks, g.kept[last][:0])
			} else {
				g.chunks = append(g.chunks, make([]byte, 0, min(readBuffer<<min(last, keptChunks), maxChunk)))
			}
		}
		c := &g.chunks[last]
		n := min(cap(*c)-len(*c), len(part))
		*c = append(*c, part[:n]...)
		part = part[n:]
	}
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
