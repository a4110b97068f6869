package kubbi

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
)

// service is what is known of the service that a client sends to.
type service struct {
	asked     atomic.Bool // raw is known
	raw       atomic.Bool // it takes raw bodies
	everyName atomic.Bool // it takes every file name; if not, that may change
}

// unasked is up to which size, in bytes, a payload goes as JSON rather than that a
// service is asked first, over the network, whether it takes raw bodies.
const unasked = 64 << 10

// update reads what a service says of itself in the headers of an answer to a create, or
// to GET /health.
func (s *service) update(h http.Header) {
	s.raw.Store(isRaw(h.Get(api.HeaderAcceptPost)))
	s.asked.Store(true)
	if h.Get(api.HeaderFileNames) == api.FileNamesAny {
		s.everyName.Store(true)
	}
}

// takesRaw reports whether a payload of size bytes is to go as a raw body.
func (c *Client) takesRaw(ctx context.Context, size int64) (bool, error) {
	if !c.service.asked.Load() && (size > unasked || c.base == c.inProcess) {
		if err := c.askService(ctx); err != nil {
			return false, err
		}
	}
	return c.service.raw.Load(), nil
}

// askService asks the service what it takes.
func (c *Client) askService(ctx context.Context) error {
	header, err := c.health(ctx, c.base, false)
	if err == nil && header != nil {
		c.service.update(header)
	}
	return err
}

// givesRaw reports whether the service at an origin gives raw bodies.
func (c *Client) givesRaw(ctx context.Context, o origin.Origin, guarded bool) (bool, error) {
	header, err := c.health(ctx, o, guarded)
	return isRaw(header.Get(api.HeaderAcceptPost)), err
}

// health gives the headers of the answer to GET /health; nil: the service knows no such
// path or fails, so it says nothing of itself. Errors are those of a service that can't
// be reached.
func (c *Client) health(ctx context.Context, o origin.Origin, guarded bool) (http.Header, error) {
	_, header, err := do[nothing](ctx, c, request{method: http.MethodGet, origin: o, guarded: guarded, path: api.PathHealth, shape: api.PathHealth})
	if errors.Is(err, ErrNetwork) || ctx.Err() != nil {
		return nil, err
	}
	return header, nil
}
