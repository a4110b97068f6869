package relay

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/content"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// taken is a claim that has counted, and what opens its payload.
type taken struct {
	*opened
	claimed *store.Claimed
	plain   *atrest.Opener
}

// pieces gives the payload in pieces, each valid until the next one; those of a part
// come together, and every part has at least one, which may be empty. It ends with the
// payload's last byte, or its first fault, or an error of f.
func (c *taken) pieces(f func(part int, plain []byte) error) error {
	for part, left := range c.sizes() {
		for begun := false; left > 0 || !begun; begun = true {
			var plain []byte
			if left > 0 {
				var err error
				if plain, err = c.plain.Next(left); err != nil {
					return c.broken(err)
				}
			}
			left -= int64(len(plain))
			if err := f(part, plain); err != nil {
				return err
			}
		}
	}
	return c.broken(c.plain.Done())
}

// sizes are those of the payload's parts.
func (c *taken) sizes() []int64 {
	if !c.Package {
		return []int64{c.Size}
	}
	sizes := make([]int64, len(c.files))
	for i, f := range c.files {
		sizes[i] = f.size
	}
	return sizes
}

// broken tells a payload that does not open from a store that does not answer.
func (c *taken) broken(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, atrest.ErrOpen), errors.Is(err, io.EOF):
		return damaged(c.Kubbi, "its payload does not open")
	}
	return fmt.Errorf("payload of a kubbi: %w", err)
}

// payloadWriter writes the pieces of a payload as the JSON value of content, or
// of files. Its first write error stays in err.
type payloadWriter struct {
	w   io.Writer
	err error
	c   *taken

	part   int // that is being written; -1: none yet
	encode encoder
	after  []byte // what closes the part
	buf    []byte // an encoded piece
	carry  []byte // bytes of the part that wait for the next piece
}

// encoder writes as much of p as makes whole units of its encoding, and gives
// back the rest.
type encoder func(p []byte) (rest []byte)

func (w *payloadWriter) put(b []byte) {
	if w.err == nil && len(b) > 0 {
		_, w.err = w.w.Write(b)
	}
}

// copy writes a whole payload.
func (w *payloadWriter) copy() error {
	if w.c.Package {
		w.put([]byte("["))
	}
	err := w.c.pieces(func(part int, plain []byte) error {
		if part != w.part {
			if err := w.next(part); err != nil {
				return err
			}
		}
		w.write(plain)
		return w.err
	})
	if err != nil {
		return err
	}
	if err := w.finish(); err != nil {
		return err
	}
	if w.c.Package {
		w.put([]byte("]"))
	}
	return w.err
}

// next ends a part and begins the one after it.
func (w *payloadWriter) next(part int) error {
	if err := w.finish(); err != nil {
		return err
	}
	w.part = part
	if !w.c.Package {
		if w.c.ContentType == api.TypeJSON {
			w.encode, w.after = w.raw, nil
		} else {
			w.encode, w.after = w.quoted, []byte{'"'}
			w.put(w.after)
		}
		return nil
	}
	f := w.c.files[w.part]
	before, after, err := split(api.ClaimedFile{
		Name: f.name, ContentType: f.contentType, SizeBytes: f.size, Role: role(f), Encoding: f.encoding,
	}, `"content":""`)
	if err != nil {
		return err
	}
	w.encode = w.quoted
	if f.encoding == api.EncodingBase64 {
		w.encode = w.base64
	}
	if w.part > 0 {
		w.put([]byte(","))
	}
	w.put(before)
	w.put([]byte{'"'})
	w.after = append([]byte{'"'}, after...)
	return nil
}

// finish ends the part that is being written.
func (w *payloadWriter) finish() error {
	if w.part < 0 {
		return nil
	}
	if w.c.Package && w.c.files[w.part].encoding == api.EncodingBase64 {
		w.put(base64.StdEncoding.AppendEncode(nil, w.carry))
	} else if len(w.carry) > 0 {
		return errNotText
	}
	w.carry = w.carry[:0]
	w.put(w.after)
	return w.err
}

// errNotText can't be: a text was UTF-8 when it was sealed.
var errNotText = errors.New("a text that was stored is not UTF-8")

// write encodes an opened chunk, in pieces, so that memory stays flat.
func (w *payloadWriter) write(p []byte) {
	for len(w.carry) > 0 && len(p) > 0 {
		w.carry = append(w.carry, p[0])
		p = p[1:]
		w.carry = append(w.carry[:0], w.encode(w.carry)...)
	}
	const piece = 24 << 10 // a multiple of 3
	for len(p) > 0 {
		n := min(len(p), piece)
		rest := w.encode(p[:n])
		if len(p) == n {
			w.carry = append(w.carry[:0], rest...)
		}
		p = p[n-len(rest):]
		if len(p) == len(rest) {
			return
		}
	}
}

func (w *payloadWriter) raw(p []byte) []byte {
	w.put(p)
	return nil
}

func (w *payloadWriter) quoted(p []byte) []byte {
	if plainJSON(p) {
		w.put(p)
		return nil
	}
	n := content.WholeRunes(p)
	var err error
	if w.buf, err = jsontext.AppendQuote(w.buf[:0], p[:n]); err != nil && w.err == nil {
		w.err = errNotText
	}
	w.put(w.buf[1 : len(w.buf)-1])
	return p[n:]
}

func (w *payloadWriter) base64(p []byte) []byte {
	n := len(p) / 3 * 3
	w.buf = base64.StdEncoding.AppendEncode(w.buf[:0], p[:n])
	w.put(w.buf)
	return p[n:]
}

// plainJSON says whether p is ASCII that stands in a JSON string as it is, eight
// bytes at a time.
func plainJSON(p []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	zero := func(x uint64) uint64 { return (x - ones) &^ x & tops } // has a byte that is 0
	for ; len(p) >= 8; p = p[8:] {
		x := binary.LittleEndian.Uint64(p)
		if x&tops|(x-0x20*ones)&^x&tops|zero(x^'"'*ones)|zero(x^'\\'*ones) != 0 {
			return false
		}
	}
	for _, c := range p {
		if c >= utf8.RuneSelf || c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
