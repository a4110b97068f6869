package kubbi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"

	"kubbi-mcp/kubbi/api"
)

// Question is a request as whoever answers it sees it. Message and Fields come from the asker,
// and are data, not instructions.
type Question struct {
	api.Question

	// Recipient is the asker's public key: the answer is sealed for it. Its Fingerprint is
	// that of the asker's Request.
	Recipient Recipient
	// Origin is the relay's, which the answer goes to.
	Origin string
}

// Question gets a request by its request URL. It counts nothing and needs no API key. Errors
// match ErrNotFound, ErrConflict (answered already), ErrGone (withdrawn), ErrExpired,
// ErrNetwork, ErrOrigin if the URL's origin is not allowed, ErrSealed if the URL lacks its
// key, and ErrValidation if it is no request URL.
func (c *Client) Question(ctx context.Context, requestURL string) (*Question, error) {
	r, u, err := c.targetOfRequest(requestURL)
	if err != nil {
		return nil, err
	}
	r.method = http.MethodGet
	q, _, err := do[api.Question](ctx, c, r)
	if err != nil {
		return nil, aboutRequest(err, forAnswerer)
	}
	if e := checkQuestion(q); e != nil {
		return nil, e
	}
	return &Question{Question: *q, Recipient: u.to, Origin: r.origin.String()}, nil
}

// targetOfRequest gives the start of a call for a request URL, as target does for a claim
// URL: it refuses an origin that is not allowed.
func (c *Client) targetOfRequest(text string) (request, requestURL, error) {
	u, err := parseRequestURL(text)
	if err != nil {
		return request{}, u, err
	}
	r := request{origin: c.allowed.resolve(u.link), path: api.PathAnswer + u.link.token, shape: api.PathAnswer + ":token", token: u.link.token}
	r.guarded, err = c.allowed.check(r.origin)
	return r, u, err
}

// checkQuestion checks the answer to GET /q/:token.
func checkQuestion(q *api.Question) *Error {
	switch {
	case q.Status == "":
		return incomplete("status")
	case !isWord(string(q.Status)):
		return outOfBounds("status is")
	case utf8.RuneCountInString(q.Message) > api.MaxRequestMessage:
		return outOfBounds("message is")
	case len(q.Fields) > api.MaxRequestFields, (len(q.Fields) > 0) == q.Files:
		return outOfBounds("fields are")
	}
	names := map[string]bool{}
	for _, f := range q.Fields {
		if !f.NameOK() || names[f.Name] {
			return outOfBounds("fields are")
		}
		names[f.Name] = true
	}
	return nil
}

// AnswerParams is the answer to a request: Values for fields, Sources for files.
type AnswerParams struct {
	// Question is the request as the one who answers has seen it. The answer opens only if
	// this is what was asked. Nil: Answer gets it.
	Question *Question
	// Values has a value for each field, by its name.
	Values map[string]string
	// Sources are the files.
	Sources []Source
	// Progress is called with how much of the answer has been sent; it may be nil.
	Progress Progress
}

// Answer answers a request, once. It seals the answer for the asker, so that the relay can't
// read it. Errors are those of Question, and ErrValidation if the answer lacks a value or is
// too large, in which case nothing was sent.
func (c *Client) Answer(ctx context.Context, requestURL string, p AnswerParams) (*api.AnswerResponse, error) {
	r, u, err := c.targetOfRequest(requestURL)
	if err != nil {
		return nil, err
	}
	q := p.Question
	if q == nil {
		if q, err = c.Question(ctx, requestURL); err != nil {
			return nil, err
		}
	}
	content, err := q.upload(p)
	if err != nil {
		return nil, err
	}
	binding, err := bindingOf(u.link.token, q.Message, q.Fields, q.Files)
	if err != nil {
		return nil, err
	}
	sealed, err := content.seal(newSealKey(), []Recipient{u.to}, binding)
	if err != nil {
		return nil, err
	}
	if size, most := sealed.size(), q.Limits.Bytes; size > most {
		return nil, invalid("the answer has %d bytes sealed, and the relay takes at most %d", size, most)
	}
	if r.body, err = sealed.bodyWithoutTerms(); err != nil {
		return nil, err
	}
	r.method, r.rawBody, r.key, r.sent = http.MethodPost, true, NewIdempotencyKey(), p.Progress
	answered, _, err := do[api.AnswerResponse](ctx, c, r)
	if err != nil {
		return nil, aboutRequest(err, forAnswerer)
	}
	if !isWord(string(answered.Status)) {
		return nil, uncertainly(outOfBounds("status is"))
	}
	return answered, nil
}

// upload gives what is answered, and checks that it is what was asked for.
func (q *Question) upload(p AnswerParams) (*upload, error) {
	if !q.Files {
		return q.values(p)
	}
	if len(p.Values) > 0 || len(p.Sources) == 0 {
		return nil, invalid("the request asks for files, at least one")
	}
	if len(p.Sources) > q.Limits.Files {
		return nil, invalid("%d files are more than the %d that the relay takes", len(p.Sources), q.Limits.Files)
	}
	u := &upload{isPackage: true}
	for i, s := range p.Sources {
		file, err := s.file(i + 1)
		if err != nil {
			return nil, err
		}
		if len(s.Name) > q.Limits.FileNameBytes {
			return nil, invalid("the name of file %d is longer than %d bytes", i+1, q.Limits.FileNameBytes)
		}
		u.contents = append(u.contents, file)
	}
	return u, nil
}

// values gives the JSON object of the fields' values. Its errors show no value.
func (q *Question) values(p AnswerParams) (*upload, error) {
	if len(p.Sources) > 0 {
		return nil, invalid("the request asks for values, not for files")
	}
	names := make([]string, len(q.Fields))
	for i, f := range q.Fields {
		names[i] = f.Name
		switch v, given := p.Values[f.Name]; {
		case !given:
			return nil, invalid("the answer has no value for %s", f.Name)
		case !f.Lines && strings.ContainsAny(v, "\r\n"):
			return nil, invalid("the value of %s must be one line", f.Name)
		case !utf8.ValidString(v):
			return nil, invalid("the value of %s is not valid UTF-8", f.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Values)) {
		if !slices.Contains(names, name) {
			return nil, invalid("the request does not ask for %.64q, only for %s", name, strings.Join(names, ", "))
		}
	}
	text, err := jsonv2.Marshal(p.Values, jsonv2.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err) // it is UTF-8
	}
	content, err := SendParams{Content: json.RawMessage(text)}.outgoing()
	return &upload{contents: []*outgoing{content}, request: api.CreateRequest{ContentType: api.TypeJSON}}, err
}
