package kubbi

import (
	"context"
	"net/http"

	"kubbi-mcp/kubbi/api"
)

// Kubbi is all that its producer can see of a kubbi: everything but the payload.
type Kubbi = api.Kubbi

// Get gives the state of a kubbi of the caller's. Errors match ErrNotFound,
// also for someone else's, ErrUnauthorized, ErrValidation, ErrNetwork.
func (c *Client) Get(ctx context.Context, id string) (*Kubbi, error) {
	r, err := c.kubbi(http.MethodGet, id)
	if err != nil {
		return nil, err
	}
	k, _, err := do[Kubbi](ctx, c, r)
	if err != nil {
		return nil, err
	}
	if k.ID == "" || k.Status == "" {
		return nil, incomplete("id or status")
	}
	if e := checkFields(k.ID, k.Status, k.ContentType, k.Metadata); e != nil {
		return nil, e
	}
	return k, nil
}

// kubbi starts a request on one kubbi of the caller's.
func (c *Client) kubbi(method, id string) (request, error) {
	id, err := ParseID(id)
	if err != nil {
		return request{}, err
	}
	return request{
		method:   method,
		origin:   c.base,
		path:     api.PathKubbi + id,
		shape:    api.PathKubbi + ":id",
		producer: true,
	}, nil
}
