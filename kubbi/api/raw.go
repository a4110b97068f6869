package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// TypeRaw is the media type in which our client and our relay exchange payloads. It is an
// extension, which the hosted service does not have. A body begins with a head: a JSON
// object on one line that ends with "\n". Then come the bytes of the content, or of all
// files in their order, with nothing between them. The head says how many bytes each of
// them has. A body that is shorter or longer is refused.
//
// A raw create has TypeRaw as Content-Type and RawCreate as head; its answer is JSON. A
// claim whose Accept header names TypeRaw is answered with RawClaim as head. Errors are
// JSON. A text is sent as UTF-8, a JSON content as its JSON text, and a file as its bytes.
// The encoding base64 only says how the file looks in JSON for other clients.
const TypeRaw = "application/vnd.kubbi.raw"

// TypeSealed is the media type of a sealed payload, and SealedName the name of the one
// file that others see.
const (
	TypeSealed = "application/vnd.kubbi.sealed"
	SealedName = "sealed"
)

// HeaderAcceptPost is on the answers to GET /health and to creates. It lists the media
// types that a create may have, as in W3C's Linked Data Platform. Our relay names TypeRaw.
const HeaderAcceptPost = "Accept-Post"

// MaxRawHead is the longest head, in bytes, with its line end.
const MaxRawHead = 1 << 20

// RawCreate is a CreateRequest with sizes in place of contents.
type RawCreate struct {
	ContentType   string          `json:"content_type,omitzero"`
	ContentBytes  *int64          `json:"content_bytes,omitzero"` // single content
	Files         []RawFile       `json:"files,omitzero"`         // package
	TTLSeconds    int             `json:"ttl_seconds"`
	MaxRetrievals *int            `json:"max_retrievals,omitzero"`
	Metadata      json.RawMessage `json:"metadata,omitzero"`
	Notify        *Notify         `json:"x_notify,omitzero"`
}

// RawFile is a file of a package, in both heads.
type RawFile struct {
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	SizeBytes   int64  `json:"size_bytes"`
	Role        string `json:"role,omitzero"`
	Encoding    string `json:"encoding,omitzero"` // empty: the bytes are UTF-8; or EncodingBase64
}

// RawClaim is a ClaimResponse with sizes in place of contents.
type RawClaim struct {
	Type         string          `json:"type,omitzero"`
	ContentType  string          `json:"content_type,omitzero"`
	ContentBytes *int64          `json:"content_bytes,omitzero"` // single content
	Files        []RawFile       `json:"files,omitzero"`         // package
	Metadata     json.RawMessage `json:"metadata"`
	Burned       bool            `json:"burned,omitzero"`
	CreatedAt    Time            `json:"created_at"`
	ExpiresAt    Time            `json:"expires_at"`
}

// AppendRawHead appends the head's line.
func AppendRawHead(dst []byte, head any) ([]byte, error) {
	b, err := json.Marshal(head)
	if err != nil {
		return dst, err
	}
	if len(b) >= MaxRawHead {
		return dst, errRawHead
	}
	return append(append(dst, b...), '\n'), nil
}

var errRawHead = fmt.Errorf("the head of a raw body is not one line of at most %d bytes", MaxRawHead)

// ReadRawHead reads the line of a head, without its end, and leaves body at the payload's
// first byte. A body without such a line is an error.
func ReadRawHead(body io.ByteReader) ([]byte, error) {
	var line bytes.Buffer
	for {
		c, err := body.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return nil, errRawHead
		case err != nil:
			return nil, err
		case c == '\n':
			return line.Bytes(), nil
		case line.Len() == MaxRawHead-1:
			return nil, errRawHead
		}
		line.WriteByte(c)
	}
}
