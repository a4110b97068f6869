package kubbi

import (
	"cmp"
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

// upload is a create that is about to be made, of a single content or of a package. All
// kinds of sends use it. Its body is raw for our relay, and JSON for any other service.
type upload struct {
	request   api.CreateRequest // without contents
	contents  []*outgoing
	isPackage bool
	jsonOnly  bool // a raw body can't express it; the service refuses it
	progress  Progress
}

// setTerms sets the fields that a single content and a package share. metadata is as in
// SendParams.
func (u *upload) setTerms(ttl time.Duration, maxRetrievals int, metadata any, notify *Notify) error {
	u.request.TTLSeconds = ttlSeconds(ttl)
	if maxRetrievals != 0 {
		u.request.MaxRetrievals = &maxRetrievals
	}
	u.request.Notify = notify
	if metadata == nil {
		return nil
	}
	raw, err := jsonv2.Marshal(metadata)
	if err != nil || jsontext.Value(raw).Kind() != '{' {
		return invalid("metadata is not a JSON object")
	}
	u.request.Metadata = raw
	return nil
}

// ttlSeconds is a TTL as the API has it.
func ttlSeconds(ttl time.Duration) int { return int(math.Ceil(cmp.Or(ttl, DefaultTTL).Seconds())) }

// size is how many bytes the payload has.
func (u *upload) size() (n int64) {
	for _, o := range u.contents {
		n += o.Size
	}
	return n
}

// body makes the request's body, in the form of api.TypeRaw or in JSON.
func (u *upload) body(raw bool) (requestBody, error) {
	if !raw {
		if !u.isPackage {
			if err := u.contents[0].checkJSON(); err != nil {
				return nil, err
			}
		}
		return jsonBody(&u.request, u.contents, u.isPackage)
	}
	head := api.RawCreate{
		ContentType: u.request.ContentType, TTLSeconds: u.request.TTLSeconds, MaxRetrievals: u.request.MaxRetrievals,
		Metadata: u.request.Metadata, Notify: u.request.Notify,
	}
	head.ContentBytes, head.Files = u.sizes()
	return rawBody(head, u.contents)
}

// bodyWithoutTerms makes the raw body of what is inside a ciphertext, and of an answer to a
// request: its head is a sealedHead.
func (u *upload) bodyWithoutTerms() (requestBody, error) {
	head := sealedHead{ContentType: u.request.ContentType, Metadata: u.request.Metadata}
	head.ContentBytes, head.Files = u.sizes()
	return rawBody(head, u.contents)
}

// sealedHead is an api.RawClaim without the fields that the service sets.
type sealedHead struct {
	ContentType  string          `json:"content_type,omitzero"`
	ContentBytes *int64          `json:"content_bytes,omitzero"` // single content
	Files        []api.RawFile   `json:"files,omitzero"`         // package
	Metadata     json.RawMessage `json:"metadata"`
}

// sizes gives the description of the contents in a raw head.
func (u *upload) sizes() (contentBytes *int64, files []api.RawFile) {
	if !u.isPackage {
		return &u.contents[0].Size, nil
	}
	for _, o := range u.contents {
		files = append(files, o.rawFile())
	}
	return nil, files
}

// rawBody makes a raw body of a head, and of the contents whose sizes are in it.
func rawBody(head any, contents []*outgoing) (requestBody, error) {
	line, err := jsonv2.Marshal(head) // it escapes less than encoding/json
	switch {
	case err != nil:
		return nil, invalid("the content type, or the name, type, role or encoding of a file, is not valid UTF-8")
	case len(line) >= api.MaxRawHead:
		return nil, invalid("the names, types and metadata have more than %d bytes together", api.MaxRawHead)
	}
	body := requestBody{{bytes: append(line, '\n')}}
	for _, o := range contents {
		body = append(body, piece{content: o, raw: true})
	}
	return body, nil
}

// jsonBody makes a body in JSON from contents and the members of rest, which has at least
// one member.
func jsonBody(rest any, contents []*outgoing, isPackage bool) (requestBody, error) {
	text, err := jsonv2.Marshal(rest)
	if err != nil {
		return nil, invalid("the content type can't be written as JSON")
	}
	if !isPackage {
		body := append(requestBody{{bytes: []byte(`{"content":`)}}, contents[0].jsonPieces()...)
		return append(body, piece{bytes: append([]byte{','}, text[1:]...)}), nil
	}
	body := requestBody{{bytes: []byte(`{"files":[`)}}
	for i, o := range contents {
		file, err := jsonv2.Marshal(struct {
			Name        string `json:"name"`
			ContentType string `json:"content_type"`
			Role        string `json:"role,omitzero"`
			Encoding    string `json:"encoding,omitzero"`
		}{o.Name, o.ContentType, o.Role, o.Encoding})
		if err != nil {
			return nil, invalid("name, type, role or encoding of file %d is not valid UTF-8", i+1)
		}
		if i > 0 {
			body = append(body, piece{bytes: []byte{','}})
		}
		body = append(body, piece{bytes: append(file[:len(file)-1], `,"content":`...)})
		body = append(append(body, o.jsonPieces()...), piece{bytes: []byte{'}'}})
	}
	return append(body, piece{bytes: append([]byte(`],`), text[1:]...)}), nil
}

// send makes the upload, sealed or not. Recipients imply sealed.
func (c *Client) send(ctx context.Context, u *upload, sealed bool, to []Recipient) (*Sent, error) {
	if sealed || len(to) > 0 {
		return c.createSealed(ctx, u, to)
	}
	if _, marked := sealOf(u.request.Metadata); marked {
		return nil, invalid("metadata has a member %q, as only that of a sealed kubbi may: nobody could claim it", sealMember)
	}
	return c.create(ctx, u)
}

// create makes the upload.
func (c *Client) create(ctx context.Context, u *upload) (*Sent, error) {
	key, raw := NewIdempotencyKey(), false
	if !u.jsonOnly {
		var err error
		if raw, err = c.takesRaw(ctx, u.size()); err != nil {
			return nil, err
		}
	}
	sent, err := c.createAs(ctx, u, key, raw)
	if fail, ok := errors.AsType[*Error](err); ok && raw && fail.Status == http.StatusUnsupportedMediaType {
		c.service.raw.Store(false) // another service has replaced the one that was asked
		sent, err = c.createAs(ctx, u, key, false)
	}
	if err != nil {
		return nil, err
	}
	if e := checkSent(sent); e != nil {
		return nil, e
	}
	return sent, nil
}

func (c *Client) createAs(ctx context.Context, u *upload, key string, raw bool) (*Sent, error) {
	body, err := u.body(raw)
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
		sent:     u.progress,
	})
	if err == nil {
		c.service.update(header)
	}
	return sent, err
}
