// Package spool keeps data that is too large for memory in an encrypted temporary file,
// such as a payload that a relay or a client is receiving.
//
// The key is only in memory and is lost with the Spool. So nobody can read the file later,
// even if it is not removed: on Windows the file stays if the process is killed.
package spool

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

const (
	chunkSize = 256 << 10
	maxMemory = 1 << 20
	fileChunk = 32 << 10 // with NewFile
	tagSize   = 16
	nonceSize = 12
)

var errClosed = errors.New("spool is closed")

// Spool stores bytes. Write all of them first, then read them as often as you like. One
// goroutine at a time may use it, but any goroutine may call Close.
type Spool struct {
	dir  string
	aead cipher.AEAD

	chunkSize, maxMemory int

	mu     sync.Mutex
	memory [][]byte // the first chunks
	file   *os.File // the other chunks
	closed bool
	chunks int64  // in memory and file
	tail   []byte // the bytes after them, up to a chunk
	sealed []byte // a buffer
	plain  []byte // the chunk with the number cached
	cached int64
}

// New makes a spool in a folder; "": the system's folder for temporary files. It makes
// the file when it needs one: up to 1 MiB stays in memory.
func New(dir string) (*Spool, error) {
	aead, err := newKey()
	if err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	return &Spool{dir: dir, aead: aead, chunkSize: chunkSize, maxMemory: maxMemory, cached: -1}, nil
}

// NewFile makes a spool with its file, so that the caller knows early if that fails. Up
// to 32 KiB stay in memory.
func NewFile(dir string) (*Spool, error) {
	s, err := New(dir)
	if err != nil {
		return nil, err
	}
	s.chunkSize, s.maxMemory = fileChunk, 0
	return s, s.create()
}

func newKey() (cipher.AEAD, error) {
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// nonce is the nonce of a chunk. Each chunk is written once under a key.
func nonce(chunk int64) []byte {
	var n [nonceSize]byte
	binary.BigEndian.PutUint64(n[nonceSize-8:], uint64(chunk))
	return n[:]
}

// Write implements io.Writer.
func (s *Spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, errClosed
	}
	written := 0
	for len(p) > 0 {
		if len(s.tail) == s.chunkSize {
			if err := s.spill(); err != nil {
				return written, err
			}
		}
		if s.tail == nil {
			s.tail = make([]byte, 0, s.chunkSize)
		}
		n := min(len(p), s.chunkSize-len(s.tail))
		s.tail = append(s.tail, p[:n]...)
		p = p[n:]
		written += n
	}
	return written, nil
}

func (s *Spool) create() error {
	f, err := os.CreateTemp(s.dir, "spool-*.tmp") // 0600
	if err != nil {
		return fmt.Errorf("make spool: %w", err)
	}
	// If the platform can remove an open file, nothing is left even if the process is
	// killed.
	_ = os.Remove(f.Name())
	s.file = f
	return nil
}

// Truncate removes everything that was written and makes a new key. The size must be 0.
func (s *Spool) Truncate(size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if size != 0 {
		return errors.New("a spool is truncated to nothing only")
	}
	aead, err := newKey() // since the numbers of the chunks start again
	if err != nil {
		return fmt.Errorf("truncate spool: %w", err)
	}
	if s.file != nil {
		if err := s.file.Truncate(0); err != nil {
			return fmt.Errorf("truncate spool: %w", err)
		}
	}
	s.aead, s.memory, s.chunks, s.tail, s.cached = aead, nil, 0, s.tail[:0], -1
	return nil
}

// spill moves the tail, a whole chunk, to memory or to the file.
func (s *Spool) spill() error {
	if (len(s.memory)+1)*s.chunkSize < s.maxMemory {
		s.memory, s.tail = append(s.memory, s.tail), nil
		s.chunks++
		return nil
	}
	if s.file == nil {
		if err := s.create(); err != nil {
			return err
		}
	}
	s.sealed = s.aead.Seal(s.sealed[:0], nonce(s.chunks), s.tail, nil)
	if _, err := s.file.WriteAt(s.sealed, s.place(s.chunks)); err != nil {
		return fmt.Errorf("write spool: %w", err)
	}
	s.chunks++
	s.tail = s.tail[:0]
	return nil
}

// place is where a chunk is in the file.
func (s *Spool) place(chunk int64) int64 {
	return (chunk - int64(len(s.memory))) * int64(s.chunkSize+tagSize)
}

// Len is how many bytes were written.
func (s *Spool) Len() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chunks*int64(s.chunkSize) + int64(len(s.tail))
}

// ReadAt implements io.ReaderAt.
func (s *Spool) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if off < 0 {
		return 0, errors.New("read spool: negative offset")
	}
	read := 0
	for len(p) > 0 {
		b, err := s.chunk(off / int64(s.chunkSize))
		if err != nil {
			return read, err
		}
		at := off % int64(s.chunkSize)
		if at >= int64(len(b)) {
			return read, io.EOF
		}
		n := copy(p, b[at:])
		p, off, read = p[n:], off+int64(n), read+n
	}
	return read, nil
}

func (s *Spool) chunk(n int64) ([]byte, error) {
	switch {
	case s.closed:
		return nil, errClosed
	case n == s.chunks:
		return s.tail, nil
	case n > s.chunks:
		return nil, io.EOF
	case n < int64(len(s.memory)):
		return s.memory[n], nil
	case n == s.cached:
		return s.plain, nil
	}
	if s.plain == nil {
		s.plain = make([]byte, s.chunkSize+tagSize)
	}
	s.cached = -1
	b := s.plain[:s.chunkSize+tagSize]
	if _, err := s.file.ReadAt(b, s.place(n)); err != nil {
		return nil, fmt.Errorf("read spool: %w", err)
	}
	plain, err := s.aead.Open(b[:0], nonce(n), b, nil)
	if err != nil {
		return nil, errors.New("read spool: the file was changed")
	}
	s.plain, s.cached = plain, n
	return plain, nil
}

// Close removes what was written. Closing twice is no error.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.memory, s.tail, s.plain, s.sealed = nil, nil, nil, nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	_ = os.Remove(s.file.Name()) // if it could not be removed while open
	if err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}
