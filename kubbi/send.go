package kubbi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// DefaultTTL is how long a kubbi lives if its sender sets no TTL.
const DefaultTTL = time.Hour

// Sent is the answer to Send and SendFiles. Its ClaimURL and ClaimToken are secrets.
type Sent = api.CreateResponse

// Notify says where receipts go, and for which events.
type Notify = api.Notify

// Progress is called with the number of bytes of a payload that were sent or received, and
// with their total (0: unknown). In every attempt done starts at 0, and reaches total when
// the attempt is complete. Progress is never called after the call has returned. It must
// not block.
type Progress func(done, total int64)

// SendParams is a single content to send.
type SendParams struct {
	// Source is the content, instead of Content: a text, or one JSON value. It has its own
	// ContentType.
	Source *Source
	// Content is any JSON value. A string is sent as text. A jsontext.Value or
	// json.RawMessage is sent unchanged, without a copy, and must not be changed before
	// Send returns. Any other value is encoded by the rules of go-json-experiment/json
	// (encoding/json/v2). A []byte is refused: use a string for text, and SendFiles for
	// binary data.
	Content any
	// ContentType is one of api.ContentTypes; empty: text/plain for a string,
	// else application/json.
	ContentType string
	// TTL is rounded up to whole seconds; 0: DefaultTTL.
	TTL time.Duration
	// MaxRetrievals is how many claims succeed; 0: unlimited until the TTL passes. Use 1
	// for a secret.
	MaxRetrievals int
	// Metadata is nil, or a value that encodes to a JSON object. Every holder of the claim
	// URL can read it without claiming.
	Metadata any
	// Sealed encrypts the content before it is sent. Only the claim URL in the answer, whose
	// part after "#" is the key, can decrypt it. The metadata stays readable, and gets a
	// member "sealed". See docs/wire.md.
	Sealed bool
	// To seals the content, as Sealed does, for these recipients alone: the claim URL has no
	// key, and only their identities open it (WithIdentities). As many fit as the metadata
	// has room for, about six.
	To []Recipient
	// Notify asks our relay to post signed receipts for events of the kubbi; nil: no
	// receipts. If the relay's operator has not turned receipts on, the error matches
	// ErrValidation. The hosted service does not have receipts. See docs/wire.md.
	Notify *Notify
	// Progress is called with how much of the request has been sent; it may be nil.
	Progress Progress
}

// Send creates a kubbi with a single content and gives its claim URL. Errors match
// ErrValidation, ErrUnauthorized, ErrRateLimited, ErrQuotaExceeded, ErrNetwork.
func (c *Client) Send(ctx context.Context, p SendParams) (*Sent, error) {
	content, err := p.outgoing()
	if err != nil {
		return nil, err
	}
	u := &upload{contents: []*outgoing{content}, progress: p.Progress}
	u.request.ContentType = content.ContentType
	u.jsonOnly = content.value != nil && content.value.Kind() != '"' && !content.json
	if err := u.setTerms(p.TTL, p.MaxRetrievals, p.Metadata, p.Notify); err != nil {
		return nil, err
	}
	return c.send(ctx, u, p.Sealed, p.To)
}

// outgoing gives the content from Content or Source.
func (p SendParams) outgoing() (*outgoing, error) {
	switch {
	case p.Source != nil && p.Content != nil:
		return nil, invalid("content is given twice: as itself and as a source")
	case p.Source != nil:
		return p.Source.single()
	}
	out := &outgoing{label: "content", Source: Source{ContentType: p.ContentType}}
	if text, ok := p.Content.(string); ok && p.ContentType != api.TypeJSON && utf8.ValidString(text) {
		out.text, out.ContentType, out.Size = &text, cmp.Or(p.ContentType, api.TypeText), int64(len(text))
		out.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
		return out, nil
	}
	value, err := encodeContent(p.Content)
	if err != nil {
		return nil, err
	}
	out.value = value
	if out.ContentType == "" {
		out.ContentType = api.TypeJSON
		if value.Kind() == '"' {
			out.ContentType = api.TypeText
		}
	}
	out.json = out.ContentType == api.TypeJSON
	data := []byte(value)
	if !out.json && value.Kind() == '"' {
		if data, err = unquote(value); err != nil {
			return nil, invalid("content is not valid UTF-8")
		}
	}
	out.Size = int64(len(data))
	out.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	return out, nil
}

// encodeContent gives a content's JSON.
func encodeContent(v any) (_ jsontext.Value, err error) {
	var raw jsontext.Value
	// json.RawMessage and jsontext.Value are one type in some builds and two in
	// others, which a type switch can't take.
	if r, ok := v.(jsontext.Value); ok {
		raw = r
	} else if r, ok := v.(json.RawMessage); ok {
		raw = jsontext.Value(r)
	} else {
		switch v.(type) {
		case nil:
			return nil, invalid("content is missing (JSON's null is jsontext.Value(`null`))")
		case []byte:
			return nil, invalid("content is bytes: give text as a string, and binary data as a file")
		}
		// The encoder's error could quote the content.
		if raw, err = jsonv2.Marshal(v); err != nil {
			return nil, invalid("content of type %T can't be written as JSON, or is not valid UTF-8", v)
		}
		return raw, nil
	}
	// The recipient decides what a duplicate name means.
	if !raw.IsValid(jsontext.AllowDuplicateNames(true)) {
		return nil, invalid("content is not one valid JSON value")
	}
	return raw, nil
}
