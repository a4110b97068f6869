package kubbi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"

	"kubbi-mcp/internal/untrusted"
	"kubbi-mcp/kubbi/api"
)

// Field is one value that is asked for.
type Field = api.Field

// AskParams is a request to a person or another agent: either Fields or Files.
type AskParams struct {
	// Message says what is wanted and why, as plain text. The relay can read it.
	Message string
	// Fields are the values that are asked for.
	Fields []Field
	// Files asks for one or more files.
	Files bool
	// TTL is how long the request can be answered, rounded up to whole seconds; 0:
	// DefaultTTL. The answer lives as long again.
	TTL time.Duration
	// Notify asks the relay to post signed receipts for events of the request; nil: none.
	Notify *Notify
}

// Request is a request that was made. RequestURL and ClaimURL are secrets.
type Request struct {
	ID string // for Asked and Withdraw
	// RequestURL goes to whoever shall answer. The part after "#" is a public key, which the
	// relay does not get: with another key the answer would be for somebody else.
	RequestURL string
	// ClaimURL is that of the answer, for Claim once Asked says that the request is answered.
	// The part after "#" holds the private key, and never leaves the asker.
	ClaimURL string
	AnswerID string // the id of the answer's kubbi
	// Fingerprint is that of the public key. Whoever answers sees it too and can compare.
	Fingerprint string
	CreatedAt   api.Time
	ExpiresAt   api.Time
}

// Ask makes a request. Its answer is sealed with a key pair of its own, so that only
// ClaimURL opens it. Errors are those of Send. If the service has no requests, as the hosted
// service, the error has the code api.CodeNotImplemented.
func (c *Client) Ask(ctx context.Context, p AskParams) (*Request, error) {
	if _, err := bindingOf("", p.Message, p.Fields, p.Files); err != nil {
		return nil, err
	}
	body, err := jsonv2.Marshal(api.AskRequest{
		Message: p.Message, Fields: p.Fields, Files: p.Files, TTLSeconds: ttlSeconds(p.TTL), Notify: p.Notify,
	})
	if err != nil {
		return nil, invalid("the request can't be written as JSON")
	}
	asked, _, err := do[api.AskResponse](ctx, c, request{
		method: http.MethodPost, origin: c.base, path: api.PathRequests, shape: api.PathRequests,
		producer: true, key: NewIdempotencyKey(), body: requestBody{{bytes: body}},
	})
	if err != nil {
		return nil, askFailed(err)
	}
	identity := GenerateIdentity()
	at, token, err := splitRequestURL(asked.RequestURL)
	claimURL, claimErr := ParseClaimURL(asked.ClaimURL)
	switch {
	case !isWord(asked.ID), !isWord(asked.AnswerID), asked.ID == "", asked.AnswerID == "":
		return nil, uncertainly(outOfBounds("id is"))
	case err != nil, len(asked.RequestURL) > maxClaimURL, claimErr != nil, len(asked.ClaimURL) > maxClaimURL, claimURL.bare(), claimURL.URL() != asked.ClaimURL:
		return nil, uncertainly(outOfBounds("URLs are"))
	}
	binding, err := bindingOf(token, p.Message, p.Fields, p.Files)
	if err != nil {
		return nil, err
	}
	o := opener{answer: identity, binding: binding}
	return &Request{
		ID:          asked.ID,
		RequestURL:  requestURL{ClaimURL{origin: at, token: token}, identity.recipient}.String(),
		ClaimURL:    asked.ClaimURL + "#" + o.fragment(),
		AnswerID:    asked.AnswerID,
		Fingerprint: identity.recipient.Fingerprint(),
		CreatedAt:   asked.CreatedAt,
		ExpiresAt:   asked.ExpiresAt,
	}, nil
}

// askFailed says what would do if the service has no requests.
func askFailed(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	switch e.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return &Error{
			Status: e.Status, Code: api.CodeNotImplemented, permanent: true,
			Message: "this service has no requests: only relays of kubbi-mcp have them. Use the embedded relay, which needs no account (leave out --api-key and --base-url), or a team's, started with `kubbi-mcp relay`",
		}
	}
	return err
}

// RequestsParams says which requests to list.
type RequestsParams struct {
	Page   int               // from 1; 0 for the first
	Limit  int               // requests on each page, at most api.MaxPageLimit; 0: api.DefaultPageLimit
	Status api.RequestStatus // only these requests; "" for all
}

// Requests gives one page of the caller's requests, newest first. Errors match
// ErrUnauthorized, ErrValidation or ErrNetwork, or have the code api.CodeNotImplemented if the
// service has no requests.
func (c *Client) Requests(ctx context.Context, p RequestsParams) (*api.AskedList, error) {
	query := pageQuery(p.Page, p.Limit)
	if p.Status != "" {
		query.Set("status", string(p.Status))
	}
	page, _, err := do[api.AskedList](ctx, c, request{
		method: http.MethodGet, origin: c.base, path: api.PathRequests, query: query.Encode(), shape: api.PathRequests, producer: true,
	})
	switch {
	case err != nil:
		return nil, askFailed(err)
	case page.Requests == nil:
		return nil, incomplete("requests")
	case len(page.Requests) > api.MaxPageLimit:
		return nil, outOfBounds("page is longer, and so")
	}
	for i := range page.Requests {
		if e := checkAsked(&page.Requests[i]); e != nil {
			return nil, e
		}
	}
	return page, nil
}

// Asked gives the state of one of the caller's requests. Errors match ErrNotFound (also for a
// request of somebody else), ErrUnauthorized, ErrValidation or ErrNetwork. With WithWait the
// call waits until the request is no longer pending.
func (c *Client) Asked(ctx context.Context, id string, opts ...ReadOption) (*api.Asked, error) {
	id, err := ParseID(id)
	if err != nil {
		return nil, err
	}
	look := func(r request) (*api.Asked, waitState, error) { return c.asked(ctx, r) }
	return read(ctx, c, c.byID(http.MethodGet, api.PathRequest, id), opts, look)
}

// Withdraw ends one of the caller's requests, which then can't be answered. If it is no longer
// pending, the error matches ErrConflict and says how it has ended. Other errors are those of
// Asked.
//
// If an attempt got no answer and the next one finds the request withdrawn, Withdraw has
// succeeded.
func (c *Client) Withdraw(ctx context.Context, id string) (*api.Asked, error) {
	id, err := ParseID(id)
	if err != nil {
		return nil, err
	}
	out, _, err := c.asked(ctx, c.byID(http.MethodDelete, api.PathRequest, id))
	if e, ok := errors.AsType[*Error](err); ok && errors.Is(e, ErrConflict) {
		now, lookErr := c.Asked(ctx, id)
		switch {
		case lookErr != nil:
		case e.Uncertain && now.Status == api.RequestWithdrawn:
			return now, nil
		default:
			e.Message = "the request is no longer pending: it is " + untrusted.Label(string(now.Status), string(api.RequestAnswered), string(api.RequestExpired), string(api.RequestWithdrawn))
		}
	}
	return out, err
}

// asked sends a request whose answer is the state of a request.
func (c *Client) asked(ctx context.Context, r request) (*api.Asked, waitState, error) {
	a, header, err := do[api.Asked](ctx, c, r)
	if err != nil {
		return nil, waitState{}, aboutRequest(err, forAsker)
	}
	if e := checkAsked(a); e != nil {
		return nil, waitState{}, e
	}
	return a, waitStateOf(header, a.Status, api.RequestPending, 0), nil
}

// checkAsked checks what a service says of a request.
func checkAsked(a *api.Asked) *Error {
	switch {
	case a.Status == "":
		return incomplete("status")
	case !isWord(a.ID), !isWord(string(a.Status)):
		return outOfBounds("id or status is")
	case utf8.RuneCountInString(a.Message) > api.MaxRequestMessage:
		return outOfBounds("message is")
	}
	return nil
}

// Our texts for errors about a request, for its asker and for whoever answers it.
var (
	forAsker = map[error]string{
		ErrNotFound: "there is no such request here",
		ErrConflict: "the request is no longer pending",
	}
	forAnswerer = map[error]string{
		ErrNotFound: "there is no such request here",
		ErrConflict: "the request was answered already, and takes one answer",
		ErrExpired:  "the request has expired: its asker may make a new one",
		ErrGone:     "the request was withdrawn by its asker",
	}
)

// aboutRequest changes the text of an error that speaks of a kubbi.
func aboutRequest(err error, texts map[error]string) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	if text := texts[e.sentinel()]; text != "" {
		e.Message, e.Messages, e.theirs = text, nil, false
	}
	return err
}

// notAnswered says what it means that there is no kubbi at the claim URL of an answer.
func notAnswered(r request, err error) error {
	if e, ok := errors.AsType[*Error](err); ok && strings.HasPrefix(r.fragment, answerFragment) && errors.Is(e, ErrNotFound) {
		e.Message, e.Messages, e.theirs = "the request has no answer yet, or none any more: get says which; nothing was claimed", nil, false
	}
	return err
}
