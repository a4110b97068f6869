package kubbi

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
)

// service is what the client knows about the service at its base URL.
type service struct {
	asked     atomic.Bool // raw is known
	raw       atomic.Bool // it accepts raw bodies
	everyName atomic.Bool // it accepts file names in every script; false: not known
}

// askAbove is the size in bytes above which the client asks an unknown service whether it
// accepts raw bodies. A smaller payload is sent as JSON, which saves a request.
const askAbove = 64 << 10

// update reads the headers in which a service describes itself, from an answer to a create
// or to GET /health.
func (s *service) update(h http.Header) {
	s.raw.Store(isRaw(h.Get(api.HeaderAcceptPost)))
	s.asked.Store(true)
	if h.Get(api.HeaderFileNames) == api.FileNamesAny {
		s.everyName.Store(true)
	}
}

// takesRaw reports whether to send a payload of size bytes as a raw body.
func (c *Client) takesRaw(ctx context.Context, size int64) (bool, error) {
	if !c.service.asked.Load() && (size > askAbove || c.base == c.inProcess) {
		if err := c.askService(ctx); err != nil {
			return false, err
		}
	}
	return c.service.raw.Load(), nil
}

// askService gets /health to learn what the service accepts.
func (c *Client) askService(ctx context.Context) error {
	header, err := c.health(ctx, c.base, false)
	if err == nil && header != nil {
		c.service.update(header)
	}
	return err
}

// givesRaw reports whether the service at an origin answers claims with raw bodies.
func (c *Client) givesRaw(ctx context.Context, o origin.Origin, guarded bool) (bool, error) {
	header, err := c.health(ctx, o, guarded)
	return isRaw(header.Get(api.HeaderAcceptPost)), err
}

// health gives the headers of the answer to GET /health. They are nil if the service has no
// such path or fails. The error is not nil only if the service can't be reached.
func (c *Client) health(ctx context.Context, o origin.Origin, guarded bool) (http.Header, error) {
	header, err := c.call(ctx, request{method: http.MethodGet, origin: o, guarded: guarded, path: api.PathHealth, shape: api.PathHealth})
	if errors.Is(err, ErrNetwork) || ctx.Err() != nil {
		return nil, err
	}
	return header, nil
}
