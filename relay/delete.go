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
	if ended := statusIn(err); ended != store.Active {
		return resp, fail(api.CodeConflict, fmt.Sprintf("only an active kubbi can be deleted, and this one is %s", api.KubbiStatuses[ended]))
	}
	if err != nil {
		return resp, err
	}
	rl.wakeSender()
	return api.DeleteResponse{ID: k.ID, Status: statusOf(k)}, nil
}

// statusIn is the status of a kubbi that an error of the store says has ended; Active for every
// other error.
func statusIn(err error) store.Status {
	for s := store.Expired; s <= store.Deleted; s++ {
		if errors.Is(err, s.Err()) {
			return s
		}
	}
	return store.Active
}
