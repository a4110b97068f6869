package kubbi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// DefaultTTL is how long a kubbi lives when its sender says nothing.
const DefaultTTL = time.Hour

// Sent answers Send and SendFiles. Its ClaimURL and ClaimToken are secrets.
type Sent = api.CreateResponse

// Notify says where receipts go, and of which events.
type Notify = api.Notify

// SendParams is a single content to send.
type SendParams struct {
	// Source is the content, instead of Content: a text, or one JSON value. Its
	// own ContentType counts.
	Source *Source
	// Content is any JSON value. A string is sent as text. A jsontext.Value or
	// json.RawMessage goes out as it is, without a copy, and must not be
	// changed before Send returns. Anything else is encoded by the rules of
	// go-json-experiment/json (encoding/json/v2). Bytes are refused: give text
	// as a string, and binary data to SendFiles.
	Content any
	// ContentType is one of api.ContentTypes; empty: text/plain for a string,
	// else application/json.
	ContentType string
	// TTL is rounded up to whole seconds; 0: DefaultTTL.
	TTL time.Duration
	// MaxRetrievals is how many claims succeed; 0: unlimited until the TTL
	// passes. 1 suits a secret.
	MaxRetrievals int
	// Metadata is nil, or what encodes to a JSON object; every holder of the
	// claim URL can read it without claiming.
	Metadata any
	// Sealed encrypts the content before it is sent, so that nobody reads it
	// without the claim URL of the answer, whose part after "#" is the key. The
	// metadata stays readable, and gets a member "sealed". See docs/sealed.md.
	Sealed bool
	// Notify asks a relay of ours to post signed receipts of what happens to the
	// kubbi; nil: nobody is told. A relay whose operator has not turned that on
	// refuses it with ErrValidation, and the hosted service does not know it. See
	// docs/webhooks.md.
	Notify *Notify
	// Progress is told how much of the request has been sent; nil: nobody asks.
	Progress Progress
}

// Send creates a kubbi of one content and gives its claim URL. Errors match
// ErrValidation, ErrUnauthorized, ErrRateLimited, ErrQuotaExceeded, ErrNetwork.
func (c *Client) Send(ctx context.Context, p SendParams) (*Sent, error) {
	switch {
	case p.Source != nil && p.Content != nil:
		return nil, invalid("content is given twice: as itself and as a source")
	case p.Sealed:
		return c.sendSealed(ctx, p)
	case p.Source != nil:
		return c.sendSource(ctx, p)
	}
	content, isText, err := encodeContent(p.Content)
	if err != nil {
		return nil, err
	}
	req := api.CreateRequest{ContentType: p.ContentType}
	if req.ContentType == "" {
		req.ContentType = api.TypeJSON
		if isText {
			req.ContentType = api.TypeText
		}
	}
	if err := setTerms(&req, p.TTL, p.MaxRetrievals, p.Metadata, p.Notify); err != nil {
		return nil, err
	}
	new := creation{size: int64(len(content)), progress: p.Progress}
	new.json = func() (payload, error) { return jsonContent(&req, piece{bytes: content}) }
	if isText || req.ContentType == api.TypeJSON { // or else it is up to the service to refuse it
		new.raw = func() (payload, error) {
			text := content
			if req.ContentType != api.TypeJSON {
				if text, err = unquoted(content); err != nil {
					return nil, err
				}
			}
			return rawContent(req, int64(len(text)), piece{bytes: text})
		}
	}
	return c.create(ctx, new)
}

// jsonContent is a body with a single content that is these pieces, and with the
// members of rest, which has at least one.
func jsonContent(rest any, content ...piece) (payload, error) {
	text, err := jsonv2.Marshal(rest)
	if err != nil {
		return nil, invalid("the content type can't be written as JSON")
	}
	body := append(bodyOf([]byte(`{"content":`)), content...)
	return append(body, bodyOf([]byte{','}, text[1:])...), nil
}

// rawContent is the same for a raw body.
func rawContent(req api.CreateRequest, size int64, content piece) (payload, error) {
	head := rawHead(req)
	head.ContentBytes = &size
	body, err := rawBody(head, nil)
	if err != nil {
		return nil, invalid("the content type can't be written as JSON")
	}
	return append(body, content), nil
}

// unquoted is what a JSON string stands for: a part of it, where nothing is escaped.
func unquoted(s jsontext.Value) ([]byte, error) {
	s = bytes.TrimSpace(s)
	if bytes.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1], nil
	}
	text, err := jsontext.AppendUnquote(make([]byte, 0, len(s)), s)
	if err != nil {
		return nil, invalid("content is not valid UTF-8")
	}
	return text, nil
}

// encodeContent gives a content's JSON, and whether it is a string.
func encodeContent(v any) (_ jsontext.Value, isText bool, err error) {
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
			return nil, false, invalid("content is missing (JSON's null is jsontext.Value(`null`))")
		case []byte:
			return nil, false, invalid("content is bytes: give text as a string, and binary data as a file")
		}
		// The encoder's own words could quote the content.
		if raw, err = jsonv2.Marshal(v); err != nil {
			return nil, false, invalid("content of type %T can't be written as JSON, or is not valid UTF-8", v)
		}
		return raw, raw.Kind() == '"', nil
	}
	// A name that stands twice in it is the recipient's business.
	if !raw.IsValid(jsontext.AllowDuplicateNames(true)) {
		return nil, false, invalid("content is not one valid JSON value")
	}
	return raw, raw.Kind() == '"', nil
}

// setTerms fills in what a single content and a package share.
func setTerms(req *api.CreateRequest, ttl time.Duration, maxRetrievals int, metadata any, notify *Notify) error {
	if ttl == 0 {
		ttl = DefaultTTL
	}
	req.TTLSeconds = int(math.Ceil(ttl.Seconds()))
	if maxRetrievals != 0 {
		req.MaxRetrievals = &maxRetrievals
	}
	req.Notify = notify
	if metadata == nil {
		return nil
	}
	raw, err := encodeMetadata(metadata)
	if err != nil {
		return err
	}
	if _, ours := metadata.(marked); !ours {
		if _, sealed := sealOf(raw); sealed {
			return invalid("metadata has a member %q, as only that of a sealed kubbi may: nobody could claim it", sealMember)
		}
	}
	req.Metadata = raw
	return nil
}

// encodeMetadata gives the JSON object that metadata is.
func encodeMetadata(metadata any) (json.RawMessage, error) {
	raw, err := jsonv2.Marshal(metadata)
	if err != nil || jsontext.Value(raw).Kind() != '{' {
		return nil, invalid("metadata is not a JSON object")
	}
	return raw, nil
}

// creation is a create that is about to be made.
type creation struct {
	size      int64                   // of the payload, in bytes
	raw, json func() (payload, error) // make its body; raw is nil where only JSON can say it
	progress  Progress
}

func (c *Client) create(ctx context.Context, new creation) (*Sent, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	raw := false
	if new.raw != nil {
		if raw, err = c.takesRaw(ctx, new.size); err != nil {
			return nil, err
		}
	}
	sent, err := c.createAs(ctx, new, key, raw)
	if fail := (*Error)(nil); raw && errors.As(err, &fail) && fail.Status == http.StatusUnsupportedMediaType {
		c.service.raw.Store(false) // another service has come in its place
		sent, err = c.createAs(ctx, new, key, false)
	}
	if err != nil {
		return nil, err
	}
	if sent.ID == "" || sent.ClaimURL == "" {
		e := incomplete("id or claim_url")
		e.Uncertain = true
		return nil, e
	}
	if e := checkSent(sent); e != nil {
		return nil, e
	}
	return sent, nil
}

func (c *Client) createAs(ctx context.Context, new creation, key string, raw bool) (*Sent, error) {
	make := new.json
	if raw {
		make = new.raw
	}
	body, err := make()
	if err != nil {
		return nil, err
	}
	sent, header, err := do[Sent](ctx, c, request{
		method:   http.MethodPost,
		origin:   c.base,
		path:     api.PathKubbis,
		shape:    api.PathKubbis,
		producer: true,
		key:      key,
		body:     body,
		rawBody:  raw,
		sent:     new.progress,
	})
	if err == nil {
		c.service.hears(header)
	}
	return sent, err
}

// incomplete is a success without what it is for: not this API's.
func incomplete(field string) *Error {
	return &Error{Status: http.StatusOK, Message: "the answer lacks " + field, cause: errNotJSON, permanent: true}
}
