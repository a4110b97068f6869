package kubbi

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"kubbi-mcp/kubbi/api"
)

// Kubbi is what its producer can see of a kubbi: everything but the payload.
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
	return k, nil
}

// kubbi is a request on one kubbi of the caller's.
func (c *Client) kubbi(method, id string) (request, error) {
	// Anything else might be a claim URL given by mistake, or lead to another path.
	if len(id) != 36 || uuid.Validate(id) != nil {
		return request{}, invalid("id is not a UUID (a claim URL or claim token is not an id)")
	}
	return request{
		method:   method,
		origin:   c.base,
		path:     api.PathKubbi + id,
		shape:    api.PathKubbi + ":id",
		producer: true,
	}, nil
}
