package tools

import (
	"cmp"
	"context"
	"errors"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

const deleteDescription = `Wipe a kubbi that you sent, by its id: its claim_url stops working at once, and the content can't be recovered. ` +
	`Use it when something was sent by mistake or to the wrong recipient, or is no longer needed. It also withdraws a request.`

type deleteOutput struct {
	ID     string     `json:"id"`
	Status api.Status `json:"status"`
}

func (t *toolset) delete() definition {
	return define(t, "delete", "Delete a sent kubbi", deleteDescription,
		hints{readOnly: false, destructive: true, idempotent: true, openWorld: false},
		func(ctx context.Context, _ invocation, in idInput) (*mcp.CallToolResult, error) {
			gone, err := t.Client.Delete(ctx, in.ID)
			if errors.Is(err, kubbi.ErrNotFound) {
				return t.deleteRequest(ctx, in.ID, err)
			}
			if err != nil {
				return nil, err
			}
			t.forgetHandle(ctx, in.ID)
			// The hosted service does not document the fields of this answer: a success
			// is a success, whatever it says.
			return structured(deleteOutput{ID: gone.ID, Status: cmp.Or(gone.Status, api.StatusDeleted)})
		})
}
