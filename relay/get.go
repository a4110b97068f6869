package relay

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// idRequest is a producer's request about one kubbi or request.
type idRequest struct {
	by *store.APIKey
	id string
}

// readKubbiID decodes GET and DELETE /api/v1/kubbis/:id. An invalid id is answered like an
// id that does not exist.
func (rl *Relay) readKubbiID(h http.Header, r *http.Request) (idRequest, error) {
	return rl.readID(h, r, store.ErrNotFound)
}

// readRequestID is readKubbiID for /api/v1/requests/:id.
func (rl *Relay) readRequestID(h http.Header, r *http.Request) (idRequest, error) {
	return rl.readID(h, r, errNoRequest)
}

func (rl *Relay) readID(h http.Header, r *http.Request, unknown error) (req idRequest, err error) {
	if req.by, err = rl.producer(h, r); err != nil {
		return req, err
	}
	text := r.PathValue("id")
	id, err := uuid.Parse(text)
	if err != nil || len(text) != len(id.String()) {
		return req, unknown
	}
	req.id = id.String() // in lower case
	return req, nil
}

func (rl *Relay) get(ctx context.Context, _ http.Header, req idRequest) (resp api.Kubbi, err error) {
	k, err := rl.cfg.Store.Get(ctx, req.by.Owner, req.id, rl.now())
	if err != nil {
		return resp, err
	}
	return rl.producerView(ctx, k)
}

// producerView is a kubbi as its producer sees it. If its record does not open, the
// error names its id, so that it can be deleted.
func (rl *Relay) producerView(ctx context.Context, k *store.Kubbi) (resp api.Kubbi, err error) {
	o := &opened{Kubbi: k}
	if k.Status == store.Active {
		if o, err = open(rl.keyringWith(ctx, k.MasterKey), k); err != nil {
			return resp, damagedFor(k.ID, err)
		}
	}
	count, size := packageOf(k)
	return api.Kubbi{
		ID: k.ID, Status: statusOf(k), ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size,
		MaxRetrievals: optional(k.MaxRetrievals), RetrievalCount: k.Retrievals,
		FirstRetrievedAt: api.OptionalTime(k.FirstRetrievedAt), LastRetrievedAt: api.OptionalTime(k.LastRetrievedAt),
		Metadata: []byte(o.Metadata), CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}, nil
}

// packageOf is file_count and total_size_bytes, nil for a single content.
func packageOf(k *store.Kubbi) (*int, *int64) {
	if !k.Package {
		return nil, nil
	}
	return &k.FileCount, &k.Size
}

// optional is nil, null on the wire, for the zero value.
func optional[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

func statusOf(k *store.Kubbi) api.Status { return api.KubbiStatuses[k.Status] }
