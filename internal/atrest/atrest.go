// Package atrest seals what a relay stores and opens it again. It turns bytes into
// bytes, and has nothing to do with stores or HTTP.
//
// The keys of a kubbi are derived from a master key and the kubbi's secret, 32 random
// bytes that are overwritten when the kubbi is wiped: from then on nobody can open
// anything of it. The key of the payload is derived from the claim token as well, so
// that data base, secrets and master keys together open no payload without the claim
// URL. Only the webhook's target, which must open after the end of the kubbi, is sealed
// under a key without the secret.
//
// A plaintext is sealed in chunks of at most ChunkSize bytes with AES-256-GCM in
// the STREAM construction: the nonce is a random prefix, a chunk counter and a
// last-chunk flag, and the associated data is a Binding. So a chunk that was
// altered, moved, dropped, cut, or taken from another kubbi does not open.
//
// Format 2, byte for byte:
//
//	id     = hex(SHA-256("kubbi-mcp/atrest/1/id" || master)[:8])
//	info   = "kubbi-mcp/atrest/2/" || purpose
//	key    = HKDF-Expand(SHA-256, master, info || "/" || secret || context, 32)
//	         for a payload, where context is the claim token, this is instead
//	         HKDF(SHA-256, HKDF-Expand(SHA-256, master, info || "/" || secret, 32), token, info, 32)
//	nonce  = prefix[7] || uint32(counter) || last[1]
//	aad    = 0x02 || uint64(size) || data
//	chunk 0        = 0x02 || prefix || AES-256-GCM(key, nonce, aad, plaintext)
//	chunk n, n > 0 =                   AES-256-GCM(key, nonce, aad, plaintext)
//
// A sealed stream is its chunks with nothing between them. Integers are
// big-endian. size is the length of the whole plaintext. Chunks before the last hold
// exactly ChunkSize bytes of plaintext. An empty plaintext has one chunk of 0 bytes.
package atrest

import (
	"encoding/binary"
	"errors"
)

// ChunkSize is the most plaintext in one chunk, in bytes.
const ChunkSize = 64 << 10

const (
	format     = 2
	idLabel    = "kubbi-mcp/atrest/1/id"
	label      = "kubbi-mcp/atrest/2/"
	prefixSize = 7
	headerSize = 1 + prefixSize
	nonceSize  = 12
	tagSize    = 16
	secretSize = 32
)

// ErrOpen says that sealed bytes do not open under this key and binding: they were
// altered, moved, cut or extended, or sealed under another key or binding.
var ErrOpen = errors.New("sealed bytes do not open")

// ErrUnknownKey says that a keyring has no master key with the given id.
var ErrUnknownKey = errors.New("master key is not in the keyring")

// Purpose is what a key is for. Keys of different purposes are different.
type Purpose string

// The purposes.
const (
	Payload Purpose = "payload" // context: the raw bytes of a claim token
	Record  Purpose = "record"  // no context
	Answer  Purpose = "answer"  // context: an idempotency key
	Reply   Purpose = "reply"   // the claim token of a request's answer; context: the raw bytes of the request's token
	Notify  Purpose = "notify"  // context: the id of a kubbi; its key does not depend on the secret

	// Of what a client keeps, instead of a relay. The context is the name of a file.
	Handle   Purpose = "handle"
	Identity Purpose = "identity"
)

// Binding is what a sealed plaintext is bound to: it opens only with the same one.
type Binding struct {
	Size int64  // of the plaintext, in bytes
	Data []byte // anything else
}

func (b Binding) chunks() int64 { return max(1, (b.Size+ChunkSize-1)/ChunkSize) }

func (b Binding) valid() bool { return b.Size >= 0 && b.chunks() <= 1<<32-1 }

// data is the associated data.
func (b Binding) data() []byte {
	out := make([]byte, 0, 1+8+len(b.Data))
	out = append(out, format)
	out = binary.BigEndian.AppendUint64(out, uint64(b.Size))
	return append(out, b.Data...)
}

// SealedSize is how many bytes a plaintext of size bytes has when it is sealed.
func SealedSize(size int64) int64 {
	return headerSize + size + Binding{Size: size}.chunks()*tagSize
}
