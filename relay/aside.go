package relay

import (
	"io"
	"sync"
)

const (
	asideBuffer  = 64 << 10
	asideBuffers = 4
)

// aside writes in a goroutine of its own, so that hashing and sealing a large
// body go on while more of it is read, and opening a payload while it is sent.
// The goroutine ends with close, which waits for what is being written.
type aside struct {
	w          io.Writer
	full, free chan []byte
	done       chan struct{}
	mu         sync.Mutex
	err        error // the first one; what is written after it is dropped
}

func newAside(w io.Writer) *aside {
	a := &aside{w: w, full: make(chan []byte, asideBuffers), free: make(chan []byte, asideBuffers), done: make(chan struct{})}
	for range asideBuffers {
		a.free <- make([]byte, 0, asideBuffer)
	}
	go func() {
		defer close(a.done)
		for b := range a.full {
			if a.fault() == nil {
				if _, err := a.w.Write(b); err != nil {
					a.mu.Lock()
					a.err = err
					a.mu.Unlock()
				}
			}
			a.free <- b[:0]
		}
	}()
	return a
}

func (a *aside) fault() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Write takes a copy of p. Its error may be that of an earlier one.
func (a *aside) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if err := a.fault(); err != nil {
			return n, err
		}
		b := <-a.free
		k := min(len(p)-n, cap(b))
		a.full <- append(b, p[n:n+k]...)
		n += k
	}
	return n, nil
}

// close waits until all is written.
func (a *aside) close() error {
	close(a.full)
	<-a.done
	return a.err
}

// ahead reads in a goroutine of its own, so that what is sealed next is decoded
// while a chunk is stored.
type ahead struct {
	full chan result
	free chan []byte
	stop chan struct{}
	done chan struct{}
	rest []byte // of buf, not yet read
	buf  []byte
	err  error
}

type result struct {
	b   []byte
	err error
}

func readAhead(r io.Reader) *ahead {
	a := &ahead{full: make(chan result, asideBuffers), free: make(chan []byte, asideBuffers), stop: make(chan struct{}), done: make(chan struct{})}
	for range asideBuffers {
		a.free <- make([]byte, asideBuffer)
	}
	go func() {
		defer close(a.done)
		for {
			select {
			case b := <-a.free:
				n, err := io.ReadFull(r, b[:cap(b)])
				if err == io.ErrUnexpectedEOF {
					err = io.EOF
				}
				a.full <- result{b[:n], err} // there is room for every buffer
				if err != nil {
					return
				}
			case <-a.stop:
				return
			}
		}
	}()
	return a
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.buf != nil {
			a.free <- a.buf
			a.buf = nil
		}
		if a.err != nil {
			return 0, a.err
		}
		next := <-a.full
		a.buf, a.rest, a.err = next.b, next.b, next.err
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close ends the reading and waits for it.
func (a *ahead) close() {
	close(a.stop)
	<-a.done
}
