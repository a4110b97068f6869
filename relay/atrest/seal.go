package atrest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Key seals and opens the parts of one kubbi. Many goroutines may use it.
type Key struct {
	prk     []byte
	purpose Purpose
}

// Format hides the key from every verb.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, "key") }

// Seal gives the sealed chunks of a part, one at a time, each valid until the
// next is asked for. The nonce prefix comes from random. The plaintext is left
// as it is, and its length must be b.Size.
func (k *Key) Seal(random io.Reader, b Binding, plaintext []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if !b.valid() || int64(len(plaintext)) != b.Size {
			yield(nil, errors.New("seal: binding does not fit the plaintext"))
			return
		}
		s, err := k.stream(b)
		if err != nil {
			yield(nil, fmt.Errorf("seal: %w", err))
			return
		}
		if _, err := io.ReadFull(random, s.nonce[:prefixSize]); err != nil {
			yield(nil, fmt.Errorf("seal: read nonce: %w", err))
			return
		}
		buf := make([]byte, 0, min(len(plaintext), ChunkSize)+Overhead)
		for !s.done {
			n, out := min(len(plaintext), ChunkSize), buf
			if s.next == 0 {
				out = append(append(out, format), s.nonce[:prefixSize]...)
			}
			out = s.aead.Seal(out, s.step(), plaintext[:n], s.data)
			plaintext = plaintext[n:]
			if !yield(out, nil) {
				return
			}
		}
	}
}

// Opener opens the chunks of one part in order. It is for one goroutine.
type Opener struct {
	stream *stream
	size   int64 // plaintext still to come
	err    error
}

// Open starts opening a part.
func (k *Key) Open(b Binding) (*Opener, error) {
	if !b.valid() {
		return nil, ErrOpen
	}
	s, err := k.stream(b)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return &Opener{stream: s, size: b.Size}, nil
}

// Next opens the next chunk. It decrypts in place: sealed is overwritten, and
// the result is a part of it. What it returns is authentic, but the part is
// whole only once Done returns nil. Its only error is ErrOpen; after one, every
// later call gives it again.
func (o *Opener) Next(sealed []byte) ([]byte, error) {
	if o.err != nil || o.stream.done {
		o.err = ErrOpen
		return nil, o.err
	}
	o.err = ErrOpen
	if o.stream.next == 0 {
		if len(sealed) < headerSize || sealed[0] != format {
			return nil, o.err
		}
		copy(o.stream.nonce[:prefixSize], sealed[1:headerSize])
		sealed = sealed[headerSize:]
	}
	n := min(o.size, ChunkSize)
	if int64(len(sealed)) != n+tagSize {
		return nil, o.err
	}
	plain, err := o.stream.aead.Open(sealed[:0], o.stream.step(), sealed, o.stream.data)
	if err != nil {
		return nil, o.err
	}
	o.size -= n
	o.err = nil
	return plain, nil
}

// Done returns nil if every chunk of the part has been opened, else ErrOpen.
func (o *Opener) Done() error {
	if o.err != nil || !o.stream.done {
		return ErrOpen
	}
	return nil
}

// stream is where a part stands on its way through the chunks.
type stream struct {
	aead  cipher.AEAD
	data  []byte
	nonce [nonceSize]byte
	next  int64 // chunk
	total int64
	done  bool
}

func (k *Key) stream(b Binding) (*stream, error) {
	info := binary.BigEndian.AppendUint32([]byte(label+string(k.purpose)), uint32(b.Part))
	key, err := hkdf.Expand(sha256.New, k.prk, string(info), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &stream{aead: aead, data: b.data(), total: b.chunks()}, nil
}

// step gives the nonce of the next chunk, and counts it.
func (s *stream) step() []byte {
	binary.BigEndian.PutUint32(s.nonce[prefixSize:], uint32(s.next))
	s.next++
	if s.next == s.total {
		s.nonce[nonceSize-1] = 1
		s.done = true
	}
	return s.nonce[:]
}
