package kubbi

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
)

// A large file is sealed and opened in the memory that it was read into, and its
// base64 is made while it is sent and undone while it is read: go-jose, which
// wants it whole as a string and copies it, would take four times as much and
// half as long again. Each opens what the other makes.

// tagSize is how many bytes more a ciphertext has.
const tagSize = 16

func (k *sealKey) gcm() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// sealLarge encrypts a file and its label, and gives the JWE as a source. The data
// of s is overwritten, and should have room for tagSize bytes more.
func (k *sealKey) sealLarge(s sealed, l sealedLabel) (Source, error) {
	if err := k.addLabel(&s, l); err != nil {
		return Source{}, err
	}
	s.part.V = sealVersion
	header, err := jsonv2.Marshal(sealHeader{sealAlg, sealEnc, s.contentType, s.part})
	if err != nil {
		return Source{}, fmt.Errorf("seal: %w", err)
	}
	gcm, err := k.gcm()
	if err != nil {
		return Source{}, fmt.Errorf("seal: %w", err)
	}
	iv := make([]byte, gcm.NonceSize())
	if _, err := rand.Read(iv); err != nil {
		return Source{}, fmt.Errorf("seal: %w", err)
	}
	b64 := base64.RawURLEncoding
	head := b64.EncodeToString(header)
	out := gcm.Seal(s.data[:0], iv, s.data, []byte(head))
	data, tag := out[:len(out)-tagSize], out[len(out)-tagSize:]
	before, after := head+".."+b64.EncodeToString(iv)+".", "."+b64.EncodeToString(tag)
	return Source{
		Name:        sealedName(s.part.File),
		ContentType: typeJOSE,
		Size:        int64(len(before) + b64.EncodedLen(len(data)) + len(after)),
		Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(before), &encoding{data: data}, strings.NewReader(after))), nil
		},
	}, nil
}

// encoding gives data in base64.
type encoding struct {
	data []byte
	buf  []byte
	out  []byte // of buf, not yet read
}

// Read implements io.Reader.
func (e *encoding) Read(p []byte) (int, error) {
	if len(e.out) == 0 {
		if len(e.data) == 0 {
			return 0, io.EOF
		}
		n := min(len(e.data), sourceBuffer)
		e.buf = base64.RawURLEncoding.AppendEncode(e.buf[:0], e.data[:n])
		e.data, e.out = e.data[n:], e.buf
	}
	n := copy(p, e.out)
	e.out = e.out[n:]
	return n, nil
}

// openLarge is open for a JWE of size characters that is read.
func (k *sealKey) openLarge(jwe io.Reader, size int64) (*sealed, error) {
	r := bufio.NewReaderSize(jwe, maxSealHeader+64)
	head, err := r.ReadSlice('.')
	if err != nil || len(head) > maxSealHeader+1 {
		return nil, errSealForm
	}
	head = bytes.Clone(head[:len(head)-1])
	var rest [1 + sealIVLen + 1]byte
	if _, err := io.ReadFull(r, rest[:]); err != nil || rest[0] != '.' || rest[len(rest)-1] != '.' {
		return nil, errSealForm
	}
	h, err := readSealHeader(string(head))
	if err != nil {
		return nil, err
	}
	iv, err := decodeStrict(nil, rest[1:len(rest)-1])
	if err != nil {
		return nil, errSealForm
	}
	left := size - int64(len(head)+1+len(rest)) - 1 - sealTagLen
	if left < 0 || left%4 == 1 {
		return nil, errSealForm
	}
	data := make([]byte, 0, left/4*3+3+tagSize)
	for piece := make([]byte, min(left, 64<<10)); left > 0; left -= int64(len(piece)) {
		piece = piece[:min(left, int64(len(piece)))]
		if _, err := io.ReadFull(r, piece); err != nil {
			return nil, errSealForm
		}
		if data, err = decodeStrict(data, piece); err != nil {
			return nil, err
		}
	}
	var tag [1 + sealTagLen + 1]byte
	if n, err := io.ReadFull(r, tag[:]); n != len(tag)-1 || err != io.ErrUnexpectedEOF || tag[0] != '.' {
		return nil, errSealForm
	}
	if data, err = decodeStrict(data, tag[1:len(tag)-1]); err != nil {
		return nil, err
	}
	gcm, err := k.gcm()
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if data, err = gcm.Open(data[:0], iv, data, head); err != nil {
		return nil, errSealForged
	}
	return &sealed{h.Cty, h.Kubbi, data}, nil
}

// decodeStrict appends what base64 stands for, in its one spelling.
func decodeStrict(dst, text []byte) ([]byte, error) {
	at := len(dst)
	dst, err := base64.RawURLEncoding.Strict().AppendDecode(dst, text)
	if err != nil || len(dst)-at != base64.RawURLEncoding.DecodedLen(len(text)) { // it skips line ends
		return nil, errSealForm
	}
	return dst, nil
}
