package kubbi

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A sealed payload is one ciphertext of Tink's streaming AEAD AES256-GCM-HKDF with
// segments of 64 KiB: a header, and segments that are opened one by one. The nonce of a
// segment has its number and says whether it is the last, so segments can't be swapped,
// dropped or cut off. The key of the segments is derived from the key in the claim URL,
// the header's salt and the associated data, which binds the ciphertext to this format
// and to the key's id.
//
// Only the tests use Tink's own code. It opens a ciphertext only from its beginning, but
// files of a package are read from the middle. It makes a new salt for each ciphertext, but
// a repeated attempt to send must send the same bytes. And it needs protocol buffers.

const (
	sealSegment   = 64 << 10 // bytes of a segment, with its tag
	sealTag       = 16
	sealSalt      = 32
	sealPrefix    = 7 // of the nonces
	sealHeaderLen = 1 + sealSalt + sealPrefix

	sealAADLabel = "kubbi-sealed-2:" // before the key's id

	// The header counts as a part of the first segment.
	sealPlainSegment = sealSegment - sealTag
	sealFirstPlain   = sealPlainSegment - sealHeaderLen

	maxSealSegments = 1<<32 - 1
	maxSealedPlain  = (maxSealSegments-1)*sealPlainSegment + sealFirstPlain
)

// segmentsOf is how many segments a plaintext of size bytes has.
func segmentsOf(size int64) int64 {
	return max(1, (size+sealHeaderLen+sealPlainSegment-1)/sealPlainSegment)
}

// sealedSize is the length of the ciphertext for a plaintext of size bytes.
func sealedSize(size int64) int64 { return sealHeaderLen + size + segmentsOf(size)*sealTag }

// plainSize is the inverse of sealedSize; -1: no ciphertext has that size.
func plainSize(sealed int64) int64 {
	size := sealed - sealHeaderLen - (sealed+sealSegment-1)/sealSegment*sealTag
	if size < 0 || size > maxSealedPlain || sealedSize(size) != sealed {
		return -1
	}
	return size
}

// plainStart is where segment n begins in the plaintext.
func plainStart(n int64) int64 { return max(0, n*sealPlainSegment-sealHeaderLen) }

// segments are the segments of one ciphertext.
type segments struct {
	gcm    cipher.AEAD
	prefix [sealPrefix]byte
	size   int64 // of the plaintext
}

// segments derives the key of the segments from a header.
func (k *sealKey) segments(header *[sealHeaderLen]byte, size int64) (*segments, error) {
	key, err := hkdf.Key(sha256.New, k[:], header[1:1+sealSalt], sealAADLabel+k.id(), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	return &segments{gcm: gcm, prefix: [sealPrefix]byte(header[1+sealSalt:]), size: size}, err
}

// nonce is the nonce of segment n.
func (s *segments) nonce(n int64) []byte {
	b := binary.BigEndian.AppendUint32(append(make([]byte, 0, 12), s.prefix[:]...), uint32(n))
	if n == segmentsOf(s.size)-1 {
		return append(b, 1)
	}
	return append(b, 0)
}

// length is how many bytes of plaintext segment n has.
func (s *segments) length(n int64) int { return int(min(s.size, plainStart(n+1)) - plainStart(n)) }

// buffer makes a buffer for any segment and its tag.
func (s *segments) buffer() []byte { return make([]byte, min(s.size+sealTag, sealSegment)) }

// sealing makes the same ciphertext for each attempt to send it, since an idempotency key
// stands for one body. A plaintext that has changed must not be encrypted under the same
// nonces. So sealing keeps the tags of all segments, 16 bytes each, and gives out no segment
// whose tag differs from that of an earlier attempt.
type sealing struct {
	*segments
	header [sealHeaderLen]byte

	mu   sync.Mutex
	tags [][sealTag]byte
}

// newSealing prepares to seal a plaintext of size bytes.
func (k *sealKey) newSealing(size int64) (*sealing, error) {
	if size > maxSealedPlain {
		return nil, invalid("%d bytes are more than can be sealed", size)
	}
	s := new(sealing)
	s.header[0] = sealHeaderLen
	_, _ = rand.Read(s.header[1:]) // never fails
	var err error
	if s.segments, err = k.segments(&s.header, size); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return s, nil
}

// open gives the ciphertext of a plaintext. Reading it reads the plaintext.
func (s *sealing) open(plain io.ReadCloser) io.ReadCloser {
	r := &sealingReader{s: s, plain: plain, buf: s.buffer()}
	r.next, r.out = r.seal, s.header[:]
	return r
}

// errSealChanged says that the plaintext differs from that of an earlier attempt.
var errSealChanged = errors.New("it has changed while it was sent")

func sealChanged() *Error {
	e := invalid("what is sealed has changed while it was sent")
	e.cause = errSealChanged
	return e
}

// segmentReader reads one segment after the other.
type segmentReader struct {
	next func() ([]byte, error) // gives the next segment, or io.EOF after the last
	out  []byte                 // of a segment, not yet read
	err  error                  // of next
}

// Read implements io.Reader.
func (r *segmentReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.out, r.err = r.next()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

type sealingReader struct {
	segmentReader
	s     *sealing
	plain io.ReadCloser
	n     int64 // of the next segment
	buf   []byte
}

// seal gives the next segment, or io.EOF after the last.
func (r *sealingReader) seal() ([]byte, error) {
	if r.n == segmentsOf(r.s.size) {
		switch n, err := io.ReadFull(r.plain, r.buf[:1]); {
		case n > 0:
			return nil, sealChanged()
		default:
			return nil, err
		}
	}
	n := r.s.length(r.n)
	switch _, err := io.ReadFull(r.plain, r.buf[:n]); {
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return nil, sealChanged()
	case err != nil:
		return nil, err
	}
	out := r.s.gcm.Seal(r.buf[:0], r.s.nonce(r.n), r.buf[:n], nil)
	if !r.s.same(r.n, [sealTag]byte(out[n:])) {
		return nil, sealChanged()
	}
	r.n++
	return out, nil
}

// same reports whether a segment has the tag that it had in an earlier attempt, if any.
func (s *sealing) same(n int64, tag [sealTag]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < int64(len(s.tags)) {
		return s.tags[n] == tag
	}
	s.tags = append(s.tags, tag)
	return true
}

// Close implements io.Closer.
func (r *sealingReader) Close() error { return r.plain.Close() }

// Faults of a sealed payload. Their texts reveal nothing about it.
var (
	errSealForm   = errors.New("it does not have the form of a sealed payload")
	errSealForged = errors.New("it was changed or cut off, or is sealed with another key")
)

// openingReader decrypts one segment after the other. It gives no bytes of a segment that
// is not authentic, and io.EOF only after the last segment.
type openingReader struct {
	segmentReader
	s      *segments
	sealed io.Reader
	n      int64 // of the next segment
	buf    []byte
}

// openFrom gives the plaintext from segment n on, which is the next in sealed.
func (s *segments) openFrom(n int64, sealed io.Reader) *openingReader {
	r := &openingReader{s: s, sealed: sealed, n: n, buf: s.buffer()}
	r.next = r.open
	return r
}

// opening reads the header of a ciphertext of size bytes, and gives its plaintext.
func (k *sealKey) opening(sealed io.Reader, size int64) (*openingReader, error) {
	plain := plainSize(size)
	if plain < 0 {
		return nil, errSealForm
	}
	var header [sealHeaderLen]byte
	if _, err := io.ReadFull(sealed, header[:]); err != nil {
		return nil, cutOff(err)
	}
	if header[0] != sealHeaderLen {
		return nil, errSealForm
	}
	s, err := k.segments(&header, plain)
	if err != nil {
		return nil, err
	}
	return s.openFrom(0, sealed), nil
}

// openingAt gives the plaintext from the offset at to its end. The ciphertext's reader must
// be an io.Seeker.
func (s *segments) openingAt(at int64, ciphertext Part) (io.Reader, error) {
	sealed, err := ciphertext.open()
	if err != nil {
		return nil, err
	}
	n := (at + sealHeaderLen) / sealPlainSegment
	if _, err := sealed.(io.Seeker).Seek(max(n*sealSegment, sealHeaderLen), io.SeekStart); err != nil {
		return nil, err
	}
	r := s.openFrom(n, sealed)
	_, err = io.CopyN(io.Discard, r, at-plainStart(n))
	return r, err
}

// open gives the next segment, or io.EOF after the last.
func (r *openingReader) open() ([]byte, error) {
	if r.n >= segmentsOf(r.s.size) {
		return nil, io.EOF
	}
	sealed := r.buf[:r.s.length(r.n)+sealTag]
	if _, err := io.ReadFull(r.sealed, sealed); err != nil {
		return nil, cutOff(err)
	}
	out, err := r.s.gcm.Open(sealed[:0], r.s.nonce(r.n), sealed, nil)
	if err != nil {
		return nil, errSealForged
	}
	r.n++
	return out, nil
}

// cutOff gives errSealForged for a ciphertext that ends early, else the error of its reader.
func cutOff(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errSealForged
	}
	return err
}
