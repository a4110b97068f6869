package kubbi

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// requestBody is the body of a request, in pieces. So a large content need not be copied,
// and a source is read while it is sent.
type requestBody []piece

// piece is a part of a body: bytes or a content.
type piece struct {
	bytes   []byte
	content *outgoing
	raw     bool // the content is sent unchanged; else in the form of JSON
}

// size is the body's length in bytes; -1: unknown until it is read.
func (p requestBody) size() (n int64) {
	for _, part := range p {
		n += int64(len(part.bytes))
		if part.content == nil {
			continue
		}
		size := part.content.Size
		if !part.raw {
			size = part.content.wireSize()
		}
		if size < 0 {
			return -1
		}
		n += size
	}
	return n
}

// sourceSize is the total of a Progress: the bytes that are read to make the body.
func (p requestBody) sourceSize() (n int64) {
	for _, part := range p {
		n += int64(len(part.bytes))
		if part.content != nil {
			n += part.content.Size
		}
	}
	return n
}

// sending is a request body in one attempt. A transport may go on reading after RoundTrip
// has returned. stop prevents that, so that nothing reads the caller's content after the
// call.
type sending struct {
	mu      sync.Mutex
	parts   requestBody
	stopped bool
	readers []*sendingReader
	fault   *Error // of a source
	stall   *stallTimer
	report  Progress // may be nil
}

func (s *sending) reader() io.ReadCloser {
	r := &sendingReader{s: s, body: s.parts.open()}
	s.mu.Lock()
	s.readers = append(s.readers, r)
	s.mu.Unlock()
	return r
}

// stop ends all reading. It returns the error of a source that failed, or nil.
func (s *sending) stop() *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, r := range s.readers {
		r.body.Close()
	}
	s.readers = nil
	return s.fault
}

type sendingReader struct {
	s    *sending
	body *requestBodyReader
}

func (r *sendingReader) Read(p []byte) (int, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.stopped {
		return 0, errors.New("the attempt has ended")
	}
	n, err := r.body.Read(p)
	if err != nil {
		errors.As(err, &r.s.fault)
		return 0, err
	}
	r.s.stall.moved(n)
	if r.s.report != nil {
		r.s.report(r.body.read(), r.s.parts.sourceSize())
	}
	return n, nil
}

func (r *sendingReader) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.body.Close()
}

// requestBodyReader reads a request body once. Its errors are io.EOF, and an *Error if a
// source fails.
type requestBodyReader struct {
	rest requestBody
	file *sourceFile // of rest[0]; nil: not open, or bytes
	form io.Reader   // of file: what the body has of it
	done int64       // source bytes of the pieces before it
}

// open gives a reader of the whole body.
func (p requestBody) open() *requestBodyReader { return &requestBodyReader{rest: slices.Clone(p)} }

// read is how many bytes were read, out of sourceSize.
func (r *requestBodyReader) read() int64 {
	if r.file != nil {
		return r.done + r.file.o.Size - r.file.left
	}
	return r.done
}

// Read implements io.Reader.
func (r *requestBodyReader) Read(p []byte) (int, error) {
	for ; len(r.rest) > 0; r.rest = r.rest[1:] {
		at := &r.rest[0]
		if at.content == nil {
			if n := copy(p, at.bytes); n > 0 {
				at.bytes = at.bytes[n:]
				r.done += int64(n)
				return n, nil
			}
			continue
		}
		if r.file == nil {
			if err := r.open(at); err != nil {
				return 0, err
			}
		}
		switch n, err := r.form.Read(p); {
		case n > 0:
			return n, nil // the next Read gets err again
		case err != io.EOF:
			return 0, err
		}
		r.done += r.file.o.Size
		r.Close()
	}
	return 0, io.EOF
}

// open opens the source of a piece.
func (r *requestBodyReader) open(p *piece) (err error) {
	if r.file, err = p.content.open(); err != nil {
		return err
	}
	switch {
	case !p.raw:
		r.form = newJSONReader(r.file)
	case p.content.json || p.content.Encoding != "":
		r.form = r.file
	default:
		r.form = &textReader{sourceFile: r.file}
	}
	return nil
}

// Close closes the source that is being read.
func (r *requestBodyReader) Close() error {
	if r.file != nil {
		_ = r.file.r.Close()
		r.file = nil
	}
	return nil
}
