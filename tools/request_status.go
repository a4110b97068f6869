package tools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// askedOutput is the result of get for a request.
type askedOutput struct {
	ID        string            `json:"id"`
	Status    api.RequestStatus `json:"status"`
	Message   string            `json:"message,omitzero"`
	Fields    []string          `json:"fields,omitzero" jsonschema:"Of a request: what is asked for."`
	Files     bool              `json:"files,omitzero"`
	CreatedAt api.Time          `json:"created_at"`
	ExpiresAt api.Time          `json:"expires_at"`
	EndedAt   *api.Time         `json:"ended_at,omitzero"`
	Next      string            `json:"next,omitzero" jsonschema:"Of a request: what to do."`
}

// getRequest is get for a request. It gives the error of the kubbi's get, notFound, if there
// is no request with this id either.
func (t *toolset) getRequest(ctx context.Context, id string, wait kubbi.ReadOption, notFound error) (*mcp.CallToolResult, error) {
	asked, err := t.Client.Asked(ctx, id, wait)
	if NoRequest(err) {
		return nil, notFound
	}
	if err != nil {
		return nil, err
	}
	out := askedOutput{
		ID: asked.ID, Status: asked.Status,
		CreatedAt: asked.CreatedAt, ExpiresAt: asked.ExpiresAt, EndedAt: asked.EndedAt,
	}
	h, known := t.handle(ctx, asked.ID)
	if known {
		out.Message, out.Fields, out.Files = h.Message, fieldNames(h.Fields), h.Files
	}
	switch asked.Status {
	case api.RequestPending:
		out.Next = fmt.Sprintf("Call %sget again with wait_seconds 50. If your user needs the page, show them the request_url again.", t.Prefix)
	case api.RequestAnswered:
		if out.Next = t.useAnswer(h); !known {
			out.Next = "Its answer was used up, or the request was made with another data directory: the key to the answer is not here."
		}
	default:
		out.Next = fmt.Sprintf("It has ended without an answer. Call %srequest to ask again.", t.Prefix)
	}
	return structured(out)
}

// handle gives what this machine keeps of a request.
func (t *toolset) handle(ctx context.Context, id string) (h handles.Handle, ok bool) {
	store := t.Claims.Handles()
	if store == nil {
		return h, false
	}
	h, err := store.Get(ctx, id)
	if err != nil && !errors.Is(err, handles.ErrNotFound) {
		t.Logger.Warn("what is kept of a request can't be read", "error", err)
	}
	return h, err == nil
}

// deleteRequest is delete for a request: it withdraws it, or deletes its answer.
func (t *toolset) deleteRequest(ctx context.Context, id string, notFound error) (*mcp.CallToolResult, error) {
	asked, err := t.Client.Withdraw(ctx, id)
	if errors.Is(err, kubbi.ErrConflict) {
		return t.deleteAnswer(ctx, id)
	}
	if NoRequest(err) {
		return nil, notFound
	}
	if err != nil {
		return nil, err
	}
	t.forgetHandle(ctx, asked.ID)
	return structured(deleteOutput{ID: asked.ID, Status: api.Status(asked.Status)})
}

// deleteAnswer deletes the answer to a request that is no longer pending.
func (t *toolset) deleteAnswer(ctx context.Context, id string) (*mcp.CallToolResult, error) {
	h, known := t.handle(ctx, id)
	if !known {
		return nil, errRequestEnded
	}
	gone, err := t.Client.Delete(ctx, h.AnswerID)
	if errors.Is(err, kubbi.ErrNotFound) || errors.Is(err, kubbi.ErrConflict) { // none came, or it was used up
		return nil, errRequestEnded
	}
	if err != nil {
		return nil, err
	}
	t.forgetHandle(ctx, h.ID)
	return structured(deleteOutput{ID: h.ID, Status: cmp.Or(gone.Status, api.StatusDeleted)})
}

// Errors of calls with the id of a request.
var (
	errRequestEnded = &toolError{string(api.CodeConflict), "This request is no longer pending, and it has no answer that could be deleted. get says how it ended."}
	errNotAnswered  = &toolError{string(api.CodeNotFound), "Nothing was claimed: this request has not been answered, or not in time. " +
		"Call get with its id and wait_seconds 50: the status says whether an answer can still come."}
)

// ofRequest gives errNotAnswered for the error of a claim that found nothing, if what was to
// be claimed is the answer to a request.
func (t *toolset) ofRequest(ctx context.Context, claimURL string, err error) error {
	if !errors.Is(err, kubbi.ErrNotFound) {
		return err
	}
	if _, h, resolveErr := t.Claims.Resolve(ctx, claimURL); resolveErr != nil || h == nil || h.Kind != handles.Request {
		return err
	}
	return errNotAnswered
}

// NoRequest reports whether err says that there is no such request, or that the service has
// no requests at all.
func NoRequest(err error) bool {
	kerr, ok := errors.AsType[*kubbi.Error](err)
	return ok && (errors.Is(kerr, kubbi.ErrNotFound) || kerr.Code == api.CodeNotImplemented)
}

// useAnswer says how the answer to a request is used.
func (t *toolset) useAnswer(h handles.Handle) string {
	switch {
	case h.Files:
		return fmt.Sprintf("Save the files: %sclaim with claim_url %s and save_to.", t.Prefix, h.ID)
	case h.HasSecret():
		return fmt.Sprintf("Use the answer without seeing it: %s --env-from %s -- COMMAND gives the command %s as environment variables.",
			t.RunCommand, h.ID, strings.Join(fieldNames(h.Fields), ", "))
	default:
		return fmt.Sprintf("Read the answer: %sclaim with claim_url %s.", t.Prefix, h.ID)
	}
}

func fieldNames(fields []api.Field) []string {
	var all []string
	for _, f := range fields {
		all = append(all, f.Name)
	}
	return all
}
