package atrest

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var (
	errBinding = errors.New("seal: binding does not fit the plaintext")
	errLonger  = errors.New("seal: plaintext is longer than its binding says")
)

// Sealer is a reader of the sealed bytes of a plaintext. It is for one goroutine.
type Sealer struct {
	stream *stream
	plain  io.Reader
	left   int64  // plaintext not yet read
	buf    []byte // a sealed chunk
	ready  []byte // the part of buf that is not read yet
	err    error
}

// Seal seals plain, which must give b.Size bytes and then io.EOF. The nonce prefix comes
// from random. The last chunk is sealed only after plain has ended: if plain fails at its
// end, the sealed bytes are never complete.
func (k *Key) Seal(random io.Reader, b Binding, plain io.Reader) (*Sealer, error) {
	if !b.valid() {
		return nil, errBinding
	}
	s := k.stream(b)
	if _, err := io.ReadFull(random, s.nonce[:prefixSize]); err != nil {
		return nil, fmt.Errorf("seal: read nonce: %w", err)
	}
	return &Sealer{stream: s, plain: plain, left: b.Size}, nil
}

// Read implements io.Reader. It returns an error of the plaintext's reader as it is, and
// io.ErrUnexpectedEOF if the plaintext ends too early.
func (s *Sealer) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.ready) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// next seals the next chunk.
func (s *Sealer) next() error {
	if s.err != nil {
		return s.err
	}
	if s.stream.done {
		s.err = io.EOF
		return s.err
	}
	if s.buf == nil {
		s.buf = make([]byte, min(s.left, ChunkSize)+headerSize+tagSize)
	}
	out := s.buf[:0]
	if s.stream.next == 0 {
		out = append(append(out, format), s.stream.nonce[:prefixSize]...)
	}
	n := int(min(s.left, ChunkSize))
	plain := s.buf[len(out) : len(out)+n]
	if s.err = s.read(plain); s.err != nil {
		return s.err
	}
	s.left -= int64(n)
	s.ready = s.stream.aead.Seal(out, s.stream.step(), plain, s.stream.data)
	return nil
}

func (s *Sealer) read(chunk []byte) error {
	if _, err := io.ReadFull(s.plain, chunk); err == io.EOF && len(chunk) > 0 {
		return io.ErrUnexpectedEOF
	} else if err != nil {
		return err
	}
	if int64(len(chunk)) < s.left {
		return nil
	}
	return ended(s.plain, errLonger)
}

// ended checks that r has ended. If r has more bytes, it returns the error more.
func ended(r io.Reader, more error) error {
	var next [1]byte
	switch _, err := io.ReadFull(r, next[:]); err {
	case io.EOF:
		return nil
	case nil:
		return more
	default:
		return err
	}
}

// SealBytes seals a plaintext in memory.
func (k *Key) SealBytes(random io.Reader, data, plain []byte) ([]byte, error) {
	b := Binding{Size: int64(len(plain)), Data: data}
	sealed := append(make([]byte, 0, SealedSize(b.Size)), format)
	s := k.stream(b)
	if _, err := io.ReadFull(random, s.nonce[:prefixSize]); err != nil {
		return nil, fmt.Errorf("seal: read nonce: %w", err)
	}
	sealed = append(sealed, s.nonce[:prefixSize]...)
	for !s.done {
		n := min(len(plain), ChunkSize)
		sealed = s.aead.Seal(sealed, s.step(), plain[:n], s.data)
		plain = plain[n:]
	}
	return sealed, nil
}

// Opener is a reader of the plaintext of sealed bytes. Everything that it returns is
// authentic, but the plaintext is whole only when it returns io.EOF. It is for one
// goroutine.
type Opener struct {
	stream *stream
	sealed io.Reader
	left   int64 // plaintext to come
	buf    []byte
	ready  []byte // the part of buf that is not read yet
	err    error
}

// Open opens sealed, which must end after the last chunk.
func (k *Key) Open(b Binding, sealed io.Reader) (*Opener, error) {
	if !b.valid() {
		return nil, ErrOpen
	}
	return &Opener{stream: k.stream(b), sealed: sealed, left: b.Size}, nil
}

// Read implements io.Reader. Its errors are io.EOF, ErrOpen, and those of the
// sealed bytes' reader; after one, every later call returns it again.
func (o *Opener) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := o.Next(int64(len(p)))
	return copy(p, b), err
}

// Next returns the next piece of the plaintext: at least one byte and at most n, valid
// until the next call. If n is 0, it opens the next chunk and returns no bytes. Its
// errors are those of Read.
func (o *Opener) Next(n int64) ([]byte, error) {
	for len(o.ready) == 0 {
		if o.err != nil {
			return nil, o.err
		}
		if o.ready, o.err = o.open(); o.err != nil {
			o.ready = nil
		}
	}
	n = min(n, int64(len(o.ready)))
	b := o.ready[:n]
	o.ready = o.ready[n:]
	return b, nil
}

// Done returns nil if the plaintext was whole and has been read to its end, and ErrOpen
// if bytes are left.
func (o *Opener) Done() error {
	switch _, err := o.Next(1); err {
	case io.EOF:
		return nil
	case nil:
		return ErrOpen
	default:
		return err
	}
}

// open reads and opens the next chunk in place.
func (o *Opener) open() ([]byte, error) {
	if o.stream.done {
		return nil, io.EOF
	}
	n := min(o.left, ChunkSize)
	head := 0
	if o.stream.next == 0 {
		head = headerSize
		o.buf = make([]byte, headerSize+int(n)+tagSize)
	}
	sealed := o.buf[:head+int(n)+tagSize]
	switch _, err := io.ReadFull(o.sealed, sealed); err {
	case nil:
	case io.EOF, io.ErrUnexpectedEOF:
		return nil, ErrOpen
	default:
		return nil, err
	}
	if head > 0 {
		if sealed[0] != format {
			return nil, ErrOpen
		}
		copy(o.stream.nonce[:prefixSize], sealed[1:headerSize])
		sealed = sealed[headerSize:]
	}
	plain, err := o.stream.aead.Open(sealed[:0], o.stream.step(), sealed, o.stream.data)
	if err != nil {
		return nil, ErrOpen
	}
	o.left -= n
	if o.stream.done {
		return plain, ended(o.sealed, ErrOpen)
	}
	return plain, nil
}

// OpenBytes opens sealed bytes in memory.
func (k *Key) OpenBytes(data, sealed []byte) ([]byte, error) {
	b := Binding{Size: plainSize(int64(len(sealed))), Data: data}
	if !b.valid() || SealedSize(b.Size) != int64(len(sealed)) || sealed[0] != format {
		return nil, ErrOpen
	}
	s := k.stream(b)
	copy(s.nonce[:prefixSize], sealed[1:])
	sealed = sealed[headerSize:]
	plain := make([]byte, 0, b.Size)
	for !s.done {
		n := min(len(sealed), ChunkSize+tagSize)
		var err error
		if plain, err = s.aead.Open(plain, s.step(), sealed[:n], s.data); err != nil {
			return nil, ErrOpen
		}
		sealed = sealed[n:]
	}
	return plain, nil
}

// plainSize is the inverse of SealedSize. It is negative if no plaintext has that sealed
// size.
func plainSize(sealed int64) int64 {
	const chunk = ChunkSize + tagSize
	n := sealed - headerSize
	if n < tagSize {
		return -1
	}
	return n - (n+chunk-1)/chunk*tagSize
}

// stream is the position of a plaintext in its chunks.
type stream struct {
	aead  cipher.AEAD
	data  []byte
	nonce [nonceSize]byte
	next  int64 // chunk
	total int64
	done  bool
}

// step returns the nonce of the next chunk, and counts it.
func (s *stream) step() []byte {
	binary.BigEndian.PutUint32(s.nonce[prefixSize:], uint32(s.next))
	s.next++
	if s.next == s.total {
		s.nonce[nonceSize-1] = 1
		s.done = true
	}
	return s.nonce[:]
}
