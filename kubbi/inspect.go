package kubbi

import (
	"context"
	"net/http"
	"strconv"

	"kubbi-mcp/kubbi/api"
)

// Inspected describes a kubbi to its consumer, without the payload.
type Inspected struct {
	api.InspectResponse

	// PayloadSize is the size of a single content in bytes; a text counts as UTF-8. A
	// package has TotalSizeBytes instead.
	PayloadSize int64 `json:"-"`
	// PayloadSizeKnown is false if the server did not send the size.
	PayloadSizeKnown bool `json:"-"`

	// Recipients are the key ids (Recipient.KeyID) of those for whom the kubbi is sealed;
	// empty: it is sealed for nobody in particular, or not at all.
	Recipients []string `json:"-"`
	// Yours says that it is sealed for one of the client's identities, or is the answer to
	// the request whose claim URL was inspected.
	Yours bool `json:"-"`
}

// Inspect describes a kubbi by its claim URL or bare token, and counts nothing. It needs
// no API key. Errors match ErrNotFound, ErrExpired, ErrGone, ErrNetwork, ErrOrigin if the
// URL's origin is not allowed, and ErrValidation if it is no claim URL. With WithWait the call
// waits until the kubbi was claimed; if it has ended by then, the error says so.
func (c *Client) Inspect(ctx context.Context, urlOrToken string, opts ...ReadOption) (*Inspected, error) {
	r, err := c.target(urlOrToken)
	if err != nil {
		return nil, err
	}
	return read(ctx, c, r, opts, func(r request) (*Inspected, waitState, error) { return c.inspect(ctx, r) })
}

// inspect is Inspect without waiting, for what target gave.
func (c *Client) inspect(ctx context.Context, r request) (*Inspected, waitState, error) {
	r.method = http.MethodGet
	r.path += api.SuffixInspect
	r.shape = api.PathClaim + ":token" + api.SuffixInspect
	in, header, err := do[api.InspectResponse](ctx, c, r)
	if err != nil {
		return nil, waitState{}, notAnswered(r, err)
	}
	if in.Status == "" {
		return nil, waitState{}, incomplete("status")
	}
	out := &Inspected{InspectResponse: *in}
	if n, err := strconv.ParseInt(header.Get(api.HeaderPayloadSize), 10, 64); err == nil && n >= 0 {
		out.PayloadSize, out.PayloadSizeKnown = n, true
	}
	if e := checkInspected(out); e != nil {
		return nil, waitState{}, e
	}
	if out.Recipients = RecipientsOf(in.Metadata); len(out.Recipients) > 0 {
		if o, err := c.openerFor(r.fragment); err == nil {
			_, e := o.keyFor(in.Metadata)
			out.Yours = e == nil
		}
	}
	return out, waitStateOf(header, in.Status, api.StatusActive, in.RetrievalCount), nil
}
