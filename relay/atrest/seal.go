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
	if int64(len(plaintext)) != b.Size {
		b.Part = -1 // fits nothing
	}
	return k.seal(random, b, func(_ []byte, n int) ([]byte, error) {
		p := plaintext[:n]
		plaintext = plaintext[n:]
		return p, nil
	})
}

// SealReader is Seal with a plaintext that is read chunk by chunk, b.Size bytes
// of it. A reader that has fewer is an error. What it gives may be ranged over
// once.
func (k *Key) SealReader(random io.Reader, b Binding, plaintext io.Reader) iter.Seq2[[]byte, error] {
	return k.seal(random, b, func(buf []byte, n int) ([]byte, error) {
		_, err := io.ReadFull(plaintext, buf[:n])
		return buf[:n], err
	})
}

// seal seals what next gives: n bytes, which may be in buf.
func (k *Key) seal(random io.Reader, b Binding, next func(buf []byte, n int) ([]byte, error)) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if !b.valid() {
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
		left := b.Size
		buf := make([]byte, min(left, ChunkSize)+Overhead)
		for !s.done {
			out := buf[:0]
			if s.next == 0 {
				out = append(append(out, format), s.nonce[:prefixSize]...)
			}
			n := int(min(left, ChunkSize))
			plaintext, err := next(buf[len(out):], n)
			if err != nil {
				yield(nil, fmt.Errorf("seal: read plaintext: %w", err))
				return
			}
			left -= int64(n)
			if !yield(s.aead.Seal(out, s.step(), plaintext, s.data), nil) {
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
