package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// delete answers DELETE /api/v1/kubbis/:id. Only an active kubbi can be deleted.
func (rl *Relay) delete(ctx context.Context, _ http.Header, req idRequest) (resp api.DeleteResponse, err error) {
	k, err := rl.cfg.Store.Delete(ctx, req.by.Owner, req.id, rl.now())
	for _, ended := range []store.Status{store.Expired, store.Burned, store.Deleted} {
		if errors.Is(err, ended.Err()) {
			return resp, fail(api.CodeConflict, fmt.Sprintf("only an active kubbi can be deleted, and this one is %s", api.KubbiStatuses[ended]))
		}
	}
	if err != nil {
		return resp, err
	}
	rl.wakeSender()
	return api.DeleteResponse{ID: k.ID, Status: statusOf(k)}, nil
}
