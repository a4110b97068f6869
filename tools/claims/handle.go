package claims

import (
	"context"
	"errors"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/kubbi"
)

// Handles are the caller's handles, or nil without a state.
func (c *Claimer) Handles() *handles.Store {
	if c.state == nil {
		return nil
	}
	return handles.New(c.state.dir, c.keys.caller)
}

// Resolve gives the claim URL that a text names: the text itself, or, if it is an id, the
// claim URL of the handle with that id. h is nil if the text is no id. The error for an id
// without a handle is UnknownID.
func (c *Claimer) Resolve(ctx context.Context, text string) (claimURL string, h *handles.Handle, err error) {
	id, err := kubbi.ParseID(text)
	if err != nil {
		return text, nil, nil
	}
	store := c.Handles()
	if store == nil {
		return "", nil, UnknownID{}
	}
	found, err := store.Get(ctx, id)
	switch {
	case errors.Is(err, handles.ErrNotFound):
		return "", nil, UnknownID{}
	case err != nil:
		c.log.Error("use a handle", "error", err)
		return "", nil, err
	}
	return found.ClaimURL, &found, nil
}

// Inspect describes what a claim URL, a token or an id claims, without claiming it. Its errors
// are those of Resolve and of kubbi.Client.Inspect.
func (c *Claimer) Inspect(ctx context.Context, text string, opts ...kubbi.ReadOption) (*kubbi.Inspected, error) {
	claimURL, _, err := c.Resolve(ctx, text)
	if err != nil {
		return nil, err
	}
	return c.client.Inspect(ctx, claimURL, opts...)
}

// forget forgets a handle whose kubbi was claimed for good.
func (c *Claimer) forget(ctx context.Context, h *handles.Handle) {
	if err := c.Handles().Delete(context.WithoutCancel(ctx), h.ID); err != nil {
		c.log.Warn("a handle of a kubbi that was claimed for good was not forgotten", "error", err)
	}
}
