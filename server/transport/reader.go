package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

// Sizes of the line reader, in bytes.
const (
	readBuffer = 64 << 10 // also of a chunk
	keptEnds   = 4 << 10  // of a line that is too long, at each end
	keptChunks = 32       // 2 MiB
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
	chunks [][]byte // kept for the next long line
}

func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, readBuffer), max: max}
}

// next gives the next line without its end. The caller may keep it. A last line
// needs no end.
//
// A line that is longer than the buffer is read into chunks and then copied into one slice
// of its size. The first chunks are used again. A slice that grows would leave garbage of
// more than twice the size.
func (l *lineReader) next() (input, error) {
	part, err := l.r.ReadSlice('\n')
	if err == nil || err == io.EOF && len(part) > 0 {
		if len(part) > l.max+1 {
			return input{tooLong: true, head: start(part), tail: end(part)}, nil
		}
		return input{line: bytes.Clone(bytes.TrimSuffix(part, []byte("\n")))}, nil
	}
	defer func() {
		kept := min(keptChunks, len(l.chunks))
		clear(l.chunks[kept:])
		l.chunks = l.chunks[:kept]
	}()
	n, size := 0, 0 // chunks and bytes of this line
	for errors.Is(err, bufio.ErrBufferFull) {
		if n == len(l.chunks) {
			l.chunks = append(l.chunks, nil)
		}
		l.chunks[n] = append(l.chunks[n][:0], part...)
		n, size = n+1, size+len(part)
		part, err = l.r.ReadSlice('\n')
		if size+len(part) > l.max+1 {
			return l.skip(l.chunks[0], part, err)
		}
	}
	if err != nil && (err != io.EOF || n == 0) {
		return input{}, err
	}
	line := bytes.Join(append(l.chunks[:n:n], part), nil)
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
