package relay

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

const maxPage = 1 << 30

// list answers GET /api/v1/kubbis. The query parameter "status" is an extension of
// ours. The reference says that limit is at most
// 100, and not what happens above: here it is a fault, not a silent 100.
func (rl *Relay) list(h http.Header, r *http.Request) (resp api.ListResponse, err error) {
	by, err := rl.producer(h, r)
	if err != nil {
		return resp, err
	}
	var f faults
	q := r.URL.Query()
	p := store.Page{
		Number: f.queryInt("page", q.Get("page"), 1, 1, maxPage),
		Limit:  f.queryInt("limit", q.Get("limit"), api.DefaultPageLimit, 1, api.MaxPageLimit),
	}
	if text := q.Get("anchor"); text != "" {
		if p.Anchor, err = strconv.ParseInt(text, 10, 64); err != nil {
			f.add("anchor must be what an earlier page's " + api.HeaderListAnchor + " header said")
		}
	}
	if text := q.Get("status"); text != "" {
		if i := slices.Index(api.KubbiStatuses, api.Status(text)); i >= 0 {
			p.Status = new(store.Status(i)) // both have the same order
		} else {
			f.add("status must be active, expired, burned or deleted")
		}
	}
	if err := f.err(); err != nil {
		return resp, err
	}
	l, err := rl.cfg.Store.List(r.Context(), by.Owner, p, rl.now())
	if err != nil {
		return resp, err
	}
	h.Set(api.HeaderListAnchor, strconv.FormatInt(l.Anchor, 10))
	if p.Status != nil {
		h.Set(api.HeaderListStatus, q.Get("status"))
	}
	resp.Kubbis = make([]api.Kubbi, len(l.Kubbis)) // an empty list is [], not null
	for i := range l.Kubbis {
		resp.Kubbis[i] = item(&l.Kubbis[i])
	}
	resp.Pagination = api.Pagination{
		Page: p.Number, Limit: p.Limit, Total: l.Total, TotalPages: (l.Total + p.Limit - 1) / p.Limit,
	}
	return resp, nil
}

// get answers GET /api/v1/kubbis/:id.
func (rl *Relay) get(h http.Header, r *http.Request) (resp api.Kubbi, err error) {
	by, err := rl.producer(h, r)
	if err != nil {
		return resp, err
	}
	id, err := pathID(r)
	if err != nil {
		return resp, err
	}
	k, err := rl.cfg.Store.Get(r.Context(), by.Owner, id, rl.now())
	if err != nil {
		return resp, err
	}
	return item(k), nil
}

// delete answers DELETE /api/v1/kubbis/:id.
func (rl *Relay) delete(h http.Header, r *http.Request) (resp api.DeleteResponse, err error) {
	by, err := rl.producer(h, r)
	if err != nil {
		return resp, err
	}
	id, err := pathID(r)
	if err != nil {
		return resp, err
	}
	k, err := rl.cfg.Store.Delete(r.Context(), by.Owner, id, rl.now())
	for dead, status := range map[error]api.Status{
		store.ErrExpired: api.StatusExpired, store.ErrBurned: api.StatusBurned, store.ErrDeleted: api.StatusDeleted,
	} {
		if errors.Is(err, dead) {
			return resp, fail(api.CodeConflict, fmt.Sprintf("only an active kubbi can be deleted, and this one is %s", status))
		}
	}
	if err != nil {
		return resp, err
	}
	rl.wakeSender()
	return api.DeleteResponse{ID: k.ID, Status: statusOf(k)}, nil
}

// item is a kubbi as its producer sees it.
func item(k *store.Kubbi) api.Kubbi {
	count, size := packageOf(k)
	return api.Kubbi{
		ID: k.ID, Status: statusOf(k), ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size,
		MaxRetrievals: optional(k.MaxRetrievals), RetrievalCount: k.Retrievals,
		FirstRetrievedAt: api.OptionalTime(k.FirstRetrievedAt), LastRetrievedAt: api.OptionalTime(k.LastRetrievedAt),
		Metadata: k.Metadata, CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}
}

// packageOf gives file_count and total_size_bytes, nil for a single content.
func packageOf(k *store.Kubbi) (*int, *int64) {
	if !k.Package {
		return nil, nil
	}
	return &k.FileCount, &k.Size
}

// optional is nil, null on the wire, for 0.
func optional(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

func statusOf(k *store.Kubbi) api.Status { return api.KubbiStatuses[k.Status] }
