package outline

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
)

// ErrBase64 says that something is not padded standard base64 without line
// breaks.
var ErrBase64 = errors.New("not base64: the standard alphabet, padded, without line breaks")

// base64Check tells whether the pieces of a string are base64, strictly.
type base64Check struct {
	bad  bool
	pad  int
	last byte // before the padding
}

// values has the value of each character of the alphabet, 0x80 for others.
var values = func() (t [256]byte) {
	for i := range t {
		t[i] = 0x80
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	return t
}()

func (c *base64Check) write(p []byte) {
	if c.bad || len(p) == 0 {
		return
	}
	data := bytes.TrimRight(p, "=")
	if len(data) > 0 {
		var seen byte
		for _, b := range data {
			seen |= values[b]
		}
		c.bad = seen&0x80 != 0 || c.pad > 0
		c.last = values[data[len(data)-1]]
	}
	c.pad += len(p) - len(data)
}

// size is the length decoded of n bytes of base64, -1 if they are not that.
func (c *base64Check) size(n int64) int64 {
	unused := []byte{0, 3, 15} // bits of the last character
	if c.bad || n%4 != 0 || c.pad > 2 || c.last&unused[c.pad] != 0 {
		return -1
	}
	return n/4*3 - int64(c.pad)
}

// NewBase64Reader decodes base64. Its error is ErrBase64, or that of r.
func NewBase64Reader(r io.Reader) io.Reader {
	var carry []byte
	padded := false
	enc := base64.StdEncoding.Strict()
	return &decoded{
		r: r, in: make([]byte, bufferSize/2),
		decode: func(dst, p []byte) ([]byte, error) {
			if len(carry) > 0 || len(p)%4 != 0 {
				p = append(carry, p...)
			}
			n := len(p) / 4 * 4
			if bytes.IndexByte(p, '\n') >= 0 || bytes.IndexByte(p, '\r') >= 0 {
				return dst, ErrBase64 // which the decoder would skip
			}
			if n > 0 {
				if padded {
					return dst, ErrBase64
				}
				padded = p[n-1] == '='
			}
			dst, err := enc.AppendDecode(dst, p[:n])
			if err != nil {
				return dst, ErrBase64
			}
			carry = append(carry[:0], p[n:]...)
			return dst, nil
		},
		end: func() error {
			if len(carry) > 0 {
				return ErrBase64
			}
			return nil
		},
	}
}
