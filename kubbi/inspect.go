package kubbi

import (
	"context"
	"net/http"

	"kubbi-mcp/kubbi/api"
)

// Inspected is what a claim URL tells before it is claimed.
type Inspected = api.InspectResponse

// Inspect looks at a kubbi through its claim URL or bare token, and counts
// nothing. It needs no API key. Errors match ErrNotFound, ErrExpired, ErrGone,
// ErrOrigin where the URL's origin is not allowed, ErrValidation where it is no
// claim URL, ErrNetwork.
func (c *Client) Inspect(ctx context.Context, urlOrToken string) (*Inspected, error) {
	r, err := c.target(urlOrToken)
	if err != nil {
		return nil, err
	}
	r.method = http.MethodGet
	r.path += api.SuffixInspect
	r.shape = api.PathClaim + ":token" + api.SuffixInspect
	in, _, err := do[Inspected](ctx, c, r)
	if err != nil {
		return nil, err
	}
	if in.Status == "" {
		return nil, incomplete("status")
	}
	return in, nil
}
