package tools

import (
	"crypto/sha256"
	"hash"
	"io"
	"sync"
)

// summing adds what is read of a file to a checksum. Of a large file that is done beside
// the reading, by a goroutine that ends with Close or total.
type summing struct {
	io.ReadCloser
	sum hash.Hash

	parts, free chan []byte // to be added, and empty again; nil: nothing runs beside
	done        chan struct{}
	end         sync.Once
}

const (
	sumBeside  = 1 << 20  // size of a file from which on
	summedPart = 64 << 10 // at once
	summedAway = 4        // parts between the reading and the checksum
)

func newSumming(f io.ReadCloser, size int64) *summing {
	s := &summing{ReadCloser: f, sum: sha256.New()}
	if size < sumBeside {
		return s
	}
	s.parts, s.free, s.done = make(chan []byte, summedAway), make(chan []byte, summedAway), make(chan struct{})
	for range summedAway {
		s.free <- nil
	}
	go func() {
		defer close(s.done)
		for p := range s.parts {
			s.sum.Write(p)
			s.free <- p
		}
	}()
	return s
}

// Read implements io.Reader.
func (s *summing) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p[:min(len(p), summedPart)])
	switch {
	case n <= 0:
	case s.parts == nil:
		s.sum.Write(p[:n])
	default:
		s.parts <- append((<-s.free)[:0], p[:n]...)
	}
	return n, err
}

// total is the checksum of all that was read. Nothing is read after it.
func (s *summing) total() []byte {
	s.end.Do(func() {
		if s.parts != nil {
			close(s.parts)
			<-s.done
		}
	})
	return s.sum.Sum(nil)
}

// Close implements io.Closer.
func (s *summing) Close() error {
	s.total()
	return s.ReadCloser.Close()
}
