package relay

import (
	"encoding/base64"
	"fmt"
	"io"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/kubbi/api/outline"
	"kubbi-mcp/relay/atrest"
	"kubbi-mcp/relay/store"
)

// piece is some of a part's plaintext.
type piece struct {
	part  int
	plain []byte // until the next piece is asked for
}

// pieces opens a payload: every part of it has at least one piece, and they come
// in order. An error ends it, also where all was opened and something lacks.
func (c *taken) pieces() iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		key, err := c.ring.Key(c.MasterKey, c.token.raw, atrest.Payload)
		if err == nil {
			var more bool
			if more, err = openPieces(key, &c.Kubbi, c.Payload, yield); !more {
				return
			}
		}
		if err != nil {
			yield(piece{}, fmt.Errorf("payload of a kubbi: %w", err))
		}
	}
}

// openPieces yields the pieces of a payload; more is false once nobody wants
// them.
func openPieces(key *atrest.Key, k *store.Kubbi, payload store.Chunks, yield func(piece, error) bool) (more bool, err error) {
	parts := binding(k, 0).Parts
	part, index := -1, 0
	var opener *atrest.Opener
	for c, err := range payload {
		if err != nil {
			return true, err
		}
		if c.Part != part {
			if opener != nil {
				if err := opener.Done(); err != nil {
					return true, err
				}
			}
			part, index = part+1, 0
			if part >= parts {
				return true, atrest.ErrOpen
			}
			if opener, err = key.Open(binding(k, part)); err != nil {
				return true, err
			}
		}
		if c.Part != part || c.Index != index {
			return true, atrest.ErrOpen
		}
		index++
		plain, err := opener.Next(c.Sealed)
		if err != nil {
			return true, err
		}
		if !yield(piece{part, plain}, nil) {
			return false, nil
		}
	}
	if opener == nil || part != parts-1 {
		return true, atrest.ErrOpen
	}
	return true, opener.Done()
}

// payloadWriter writes the pieces of a payload as the JSON value of content, or
// of files. Its first write error stays in err.
type payloadWriter struct {
	w   io.Writer
	err error
	k   *store.Kubbi

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
func (w *payloadWriter) copy(pieces iter.Seq2[piece, error]) error {
	if w.k.Package {
		w.put([]byte("["))
	}
	for p, err := range pieces {
		if err != nil {
			return err
		}
		if p.part != w.part {
			if err := w.next(p.part); err != nil {
				return err
			}
		}
		w.write(p.plain)
		if w.err != nil {
			return w.err
		}
	}
	if err := w.finish(); err != nil {
		return err
	}
	if w.k.Package {
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
	if !w.k.Package {
		if w.k.ContentType == api.TypeJSON {
			w.encode, w.after = w.raw, nil
		} else {
			w.encode, w.after = w.quoted, []byte{'"'}
			w.put(w.after)
		}
		return nil
	}
	f := w.k.Files[w.part]
	before, after, err := split(api.ClaimedFile{
		Name: f.Name, ContentType: f.ContentType, SizeBytes: f.Size, Role: role(f), Encoding: f.Encoding,
	}, `"content":""`)
	if err != nil {
		return err
	}
	w.encode = w.quoted
	if f.Encoding == api.EncodingBase64 {
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
	if w.k.Package && w.k.Files[w.part].Encoding == api.EncodingBase64 {
		w.put(base64.StdEncoding.AppendEncode(nil, w.carry))
	} else if len(w.carry) > 0 {
		return atrest.ErrOpen // text was whole runes when it was sealed
	}
	w.carry = w.carry[:0]
	w.put(w.after)
	return w.err
}

// write encodes an opened chunk, in pieces, so that memory stays flat.
func (w *payloadWriter) write(p []byte) {
	for len(w.carry) > 0 && len(p) > 0 {
		w.carry = append(w.carry, p[0])
		p = p[1:]
		w.carry = append(w.carry[:0], w.encode(w.carry)...)
	}
	const piece = 48 << 10 // a multiple of 3
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
	if outline.Plain(p) {
		w.put(p)
		return nil
	}
	n := outline.WholeRunes(p)
	var err error
	if w.buf, err = jsontext.AppendQuote(w.buf[:0], p[:n]); err != nil && w.err == nil {
		w.err = atrest.ErrOpen // text was UTF-8 when it was sealed
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
