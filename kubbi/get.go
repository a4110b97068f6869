package kubbi

import (
	"context"
	"net/http"

	"kubbi-mcp/kubbi/api"
)

// Kubbi is a kubbi as its producer sees it: everything except the payload.
type Kubbi = api.Kubbi

// Get gives the state of one of the caller's kubbis. Errors match ErrNotFound (also for a
// kubbi of somebody else), ErrUnauthorized, ErrValidation or ErrNetwork. With WithWait the
// call waits until the kubbi was claimed or has ended.
func (c *Client) Get(ctx context.Context, id string, opts ...ReadOption) (*Kubbi, error) {
	id, err := ParseID(id)
	if err != nil {
		return nil, err
	}
	return read(ctx, c, c.byID(http.MethodGet, api.PathKubbi, id), opts, func(r request) (*Kubbi, waitState, error) {
		k, header, err := do[Kubbi](ctx, c, r)
		if err != nil {
			return nil, waitState{}, err
		}
		if k.ID == "" || k.Status == "" {
			return nil, waitState{}, incomplete("id or status")
		}
		if e := checkFields(k.ID, k.Status, k.ContentType, k.Metadata); e != nil {
			return nil, waitState{}, e
		}
		return k, waitStateOf(header, k.Status, api.StatusActive, k.RetrievalCount), nil
	})
}

// byID gives a request about one of the caller's kubbis (api.PathKubbi) or requests
// (api.PathRequest).
func (c *Client) byID(method, path, id string) request {
	return request{method: method, origin: c.base, path: path + id, shape: path + ":id", producer: true}
}
