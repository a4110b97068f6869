// Package atrest seals a relay's payloads for storage and opens them again.
// Bytes go in, bytes come out; it knows neither a store nor HTTP.
//
// Every kubbi has a key of its own, HKDF-SHA256 of a master key salted with the
// claim token's raw bytes: the data base and the master keys together open
// nothing without the claim URL. Only who is to be told of what happens to a
// kubbi, which a relay must open by itself, is sealed under a key salted with
// its id. Each part of a kubbi (its single content, or one file) has its own
// subkey and is sealed in chunks of at most ChunkSize bytes of plaintext with
// AES-256-GCM in the STREAM construction: the nonce is a random prefix, a chunk
// counter and a last-chunk flag, and the associated data is the whole of a
// Binding. So a chunk that was altered, moved, dropped, cut, or taken from
// another part or kubbi does not open.
//
// Format 1, byte for byte:
//
//	id     = hex(SHA-256("kubbi-mcp/atrest/1/id" || secret)[:8])
//	prk    = HKDF-Extract(SHA-256, secret, salt)
//	key    = HKDF-Expand(prk, "kubbi-mcp/atrest/1/" || purpose || uint32(part), 32)
//	nonce  = prefix[7] || uint32(counter) || last[1]
//	aad    = 0x01 || str(id of the kubbi) || uint32(part) || uint32(parts) ||
//	         uint64(size) || str(name) || str(content type)
//	str(s) = uint32(len(s)) || s
//	chunk 0        = 0x01 || prefix || AES-256-GCM(key, nonce, aad, plaintext)
//	chunk n, n > 0 =                   AES-256-GCM(key, nonce, aad, plaintext)
//
// Integers are big-endian. Chunks before the last hold exactly ChunkSize bytes
// of plaintext; an empty part is one chunk of none.
package atrest

import (
	"encoding/binary"
	"errors"
)

// ChunkSize is the most plaintext in one chunk, in bytes.
const ChunkSize = 1 << 20

// Overhead is the most that a sealed chunk is longer than its plaintext, in
// bytes: format, nonce prefix and tag.
const Overhead = headerSize + tagSize

const (
	format     = 1
	label      = "kubbi-mcp/atrest/1/"
	prefixSize = 7
	headerSize = 1 + prefixSize
	nonceSize  = 12
	tagSize    = 16
	secretSize = 32
)

// ErrOpen says that sealed bytes are not what was sealed under that key and
// binding: altered, moved, cut, extended, or sealed for something else.
var ErrOpen = errors.New("sealed payload does not open")

// ErrUnknownKey says that a keyring has no master key of the wanted id.
var ErrUnknownKey = errors.New("master key is not in the keyring")

// Purpose keeps keys apart that would otherwise be derived alike.
type Purpose string

// The purposes.
const (
	Payload Purpose = "payload" // salted with a claim token
	Answer  Purpose = "answer"  // salted with an idempotency key
	Notify  Purpose = "notify"  // salted with a kubbi's id
)

// Binding is what a sealed part is bound to: it opens only with the same one.
type Binding struct {
	KubbiID     string
	Part        int   // from 0
	Parts       int   // of the whole kubbi
	Size        int64 // of the part's plaintext, in bytes
	Name        string
	ContentType string
}

// chunks is the number of chunks of a part.
func (b Binding) chunks() int64 { return max(1, (b.Size+ChunkSize-1)/ChunkSize) }

func (b Binding) valid() bool {
	const maxUint32 = 1<<32 - 1
	return b.Part >= 0 && b.Part < b.Parts && int64(b.Parts) <= maxUint32 && b.Size >= 0 && b.chunks() <= maxUint32
}

// data is the associated data. Every variable field carries its length, so no
// two bindings have the same.
func (b Binding) data() []byte {
	out := make([]byte, 0, 1+4+len(b.KubbiID)+4+4+8+4+len(b.Name)+4+len(b.ContentType))
	out = append(out, format)
	out = appendString(out, b.KubbiID)
	out = binary.BigEndian.AppendUint32(out, uint32(b.Part))
	out = binary.BigEndian.AppendUint32(out, uint32(b.Parts))
	out = binary.BigEndian.AppendUint64(out, uint64(b.Size))
	out = appendString(out, b.Name)
	return appendString(out, b.ContentType)
}

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}
