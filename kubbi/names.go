package kubbi

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"kubbi-mcp/kubbi/api"
)

// FileNames gives the names under which files of these names can go, in one
// package, to the service that this client sends to: themselves to a relay of
// ours, and to the hosted service, which takes ASCII names only, those of
// api.HostedFileNames. A sender tells its user which names have changed.
//
// A relay of ours says in its answer to GET /health that it takes every script
// (api.HeaderFileNames). It is asked once, and only if a name needs it, so that no
// payload is sent in vain. A service that does not say so gets ASCII names, which
// every service takes. Sealed names are seen by no service, and need no change.
//
// Errors match ErrValidation for a name that api.FileNameFault refuses or that is
// there twice, and ErrNetwork.
func (c *Client) FileNames(ctx context.Context, names []string) ([]string, error) {
	if err := checkNames(names); err != nil {
		return nil, err
	}
	hosted := true
	for _, name := range names {
		hosted = hosted && api.HostedFileName(name)
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
	return api.HostedFileNames(names), nil
}

// namesKnown is whether the service has said that it takes every name. That it
// does not is not remembered: it may be a relay that is brought up to date.
type namesKnown struct{ every atomic.Bool }

func (c *Client) takesEveryName(ctx context.Context) (bool, error) {
	if c.names.every.Load() {
		return true, nil
	}
	_, header, err := do[nothing](ctx, c, request{
		method: http.MethodGet,
		origin: c.base,
		path:   api.PathHealth,
		shape:  api.PathHealth,
	})
	switch {
	case errors.Is(err, ErrNetwork), ctx.Err() != nil:
		return false, err
	case err != nil: // it has an answer, and does not say so
		return false, nil
	}
	every := header.Get(api.HeaderFileNames) == api.FileNamesAny
	if every {
		c.names.every.Store(true)
	}
	return every, nil
}

// checkNames refuses names that some system can't save, and two that some system
// takes for one.
func checkNames(names []string) error {
	limit, taken := api.DefaultLimits().FileNameBytes, make(map[string]int, len(names))
	for i, name := range names {
		if fault := api.FileNameFault(name, limit); fault != "" {
			return invalid("the name of file %d %s", i+1, fault)
		}
		fold := api.FoldFileName(name)
		if first, twice := taken[fold]; twice {
			return invalid("file %d has the name of file %d, ignoring case and Unicode form: give it another one", i+1, first)
		}
		taken[fold] = i + 1
	}
	return nil
}
