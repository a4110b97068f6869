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
	return reading[Kubbi]{
		look: func(r request) (*Kubbi, http.Header, error) {
			k, header, err := do[Kubbi](ctx, c, r)
			if err != nil {
				return nil, nil, err
			}
			if k.ID == "" || k.Status == "" {
				return nil, nil, incomplete("id or status")
			}
			if e := checkFields(k.ID, k.Status, k.ContentType, k.Metadata); e != nil {
				return nil, nil, e
			}
			return k, header, nil
		},
		state: func(k *Kubbi) (string, bool) { return waitStateOf(k.Status, api.StatusActive, k.RetrievalCount) },
	}.do(ctx, c, c.kubbi(http.MethodGet, id), opts)
}

// kubbi gives a request about one of the caller's kubbis.
func (c *Client) kubbi(method, id string) request {
	return request{method: method, origin: c.base, path: api.PathKubbi + id, shape: api.PathKubbi + ":id", producer: true}
}
