package kubbi

import (
	"context"
	"errors"
	"net/http"

	"kubbi-mcp/kubbi/api"
)

// Deleted is the answer to Delete.
type Deleted = api.DeleteResponse

// Delete ends one of the caller's kubbis and wipes its payload at once. If the kubbi is no
// longer active, the error matches ErrConflict. Other errors are those of Get.
//
// If an attempt got no answer and the next one fails with ErrConflict, Delete gets the
// kubbi's status. If the status is deleted, Delete has succeeded.
func (c *Client) Delete(ctx context.Context, id string) (*Deleted, error) {
	id, err := ParseID(id)
	if err != nil {
		return nil, err
	}
	d, _, err := do[Deleted](ctx, c, c.byID(http.MethodDelete, api.PathKubbi, id))
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Uncertain && errors.Is(e, ErrConflict) {
			if k, lookErr := c.Get(ctx, id); lookErr == nil && k.Status == api.StatusDeleted {
				return &Deleted{ID: k.ID, Status: k.Status}, nil
			}
		}
		return nil, err
	}
	// The reference does not name the fields of this answer.
	if d.ID == "" || !isWord(d.ID) {
		d.ID = id
	}
	if d.Status == "" || !isWord(string(d.Status)) {
		d.Status = api.StatusDeleted
	}
	return d, nil
}
