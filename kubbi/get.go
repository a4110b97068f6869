package kubbi

import (
	"context"
	"net/http"

	"kubbi-mcp/kubbi/api"
)

// Kubbi is a kubbi as its producer sees it: everything except the payload.
type Kubbi = api.Kubbi

// Get gives the state of one of the caller's kubbis. Errors match ErrNotFound (also for a
// kubbi of somebody else), ErrUnauthorized, ErrValidation or ErrNetwork.
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

// kubbi starts a request about one of the caller's kubbis.
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
