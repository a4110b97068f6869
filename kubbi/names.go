package kubbi

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
)

// FileNames gives the names under which files of these names can go, in one
// package, to the service that this client sends to: themselves to a relay of
// ours, and to the hosted service, which takes ASCII names only, those of
// filename.ToASCII. A sender tells its user which names have changed.
//
// A relay of ours says in its answer to GET /health that it takes every script
// (api.HeaderFileNames). It is asked once, and only if a name needs it, so that no
// payload is sent in vain. A service that does not say so gets ASCII names, which
// every service takes. Sealed names are seen by no service, and need no change.
//
// Errors match ErrValidation for a name that filename.Fault refuses or that is
// there twice, and ErrNetwork.
func (c *Client) FileNames(ctx context.Context, names []string) ([]string, error) {
	if err := checkNames(names); err != nil {
		return nil, err
	}
	hosted := true
	for _, name := range names {
		hosted = hosted && filename.IsASCII(name)
	}
	if hosted {
		return names, nil
	}
	every, err := c.takesEveryName(ctx)
	if err != nil {
		return nil, err
	}
	if every {
		return names, nil
	}
	return filename.ToASCII(names), nil
}

// service is what is known of the service that a client sends to.
type service struct {
	everyName atomic.Bool // it takes every name; that it does not may change
	raw       atomic.Bool // it takes raw bodies
	told      atomic.Bool // whether it takes raw bodies
}

// unasked is up to which size a payload goes as JSON rather than that a service is
// asked first, over the network, whether it takes raw bodies.
const unasked = 64 << 10

// hears takes what a service says of itself in the headers of an answer to a create,
// or to GET /health.
func (s *service) hears(h http.Header) {
	s.raw.Store(isRaw(h.Get(api.HeaderAcceptPost)))
	s.told.Store(true)
	if h.Get(api.HeaderFileNames) == api.FileNamesAny {
		s.everyName.Store(true)
	}
}

// takesRaw reports whether a payload of size bytes is to go as a raw body.
func (c *Client) takesRaw(ctx context.Context, size int64) (bool, error) {
	if !c.service.told.Load() && (size > unasked || c.base == c.inProcess) {
		if err := c.askService(ctx); err != nil {
			return false, err
		}
	}
	return c.service.raw.Load(), nil
}

func (c *Client) takesEveryName(ctx context.Context) (bool, error) {
	if !c.service.everyName.Load() {
		if err := c.askService(ctx); err != nil {
			return false, err
		}
	}
	return c.service.everyName.Load(), nil
}

// givesRaw reports whether the service at an origin gives raw bodies.
func (c *Client) givesRaw(ctx context.Context, o origin.Origin, guarded bool) (bool, error) {
	_, header, err := do[nothing](ctx, c, request{method: http.MethodGet, origin: o, guarded: guarded, path: api.PathHealth, shape: api.PathHealth})
	if errors.Is(err, ErrNetwork) || ctx.Err() != nil {
		return false, err
	}
	return err == nil && isRaw(header.Get(api.HeaderAcceptPost)), nil
}

// askService has the service say what it takes. Its errors are those of a service
// that can't be reached; one that has another answer has said nothing.
func (c *Client) askService(ctx context.Context) error {
	_, header, err := do[nothing](ctx, c, request{
		method: http.MethodGet,
		origin: c.base,
		path:   api.PathHealth,
		shape:  api.PathHealth,
	})
	switch {
	case errors.Is(err, ErrNetwork), ctx.Err() != nil:
		return err
	case err == nil:
		c.service.hears(header)
	}
	return nil
}

// checkNames refuses names that some system can't save, and two that some system
// takes for one.
func checkNames(names []string) error {
	limit, taken := api.DefaultLimits().FileNameBytes, make(map[string]int, len(names))
	for i, name := range names {
		if fault := filename.Fault(name, limit); fault != "" {
			return invalid("the name of file %d %s", i+1, fault)
		}
		fold := filename.Fold(name)
		if first, twice := taken[fold]; twice {
			return invalid("file %d has the name of file %d, ignoring case and Unicode form: give it another one", i+1, first)
		}
		taken[fold] = i + 1
	}
	return nil
}
