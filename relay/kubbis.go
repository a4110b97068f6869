package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

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
		var ok bool
		if p.Anchor, ok = parseAnchor(text); !ok {
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
	h.Set(api.HeaderListAnchor, formatAnchor(l.Anchor))
	if p.Status != nil {
		h.Set(api.HeaderListStatus, q.Get("status"))
	}
	resp.Kubbis = make([]api.Kubbi, len(l.Kubbis)) // an empty list is [], not null
	for i := range l.Kubbis {
		if resp.Kubbis[i], err = rl.item(r.Context(), &l.Kubbis[i]); err != nil {
			return resp, err
		}
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
	return rl.item(r.Context(), k)
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

// item is a kubbi as its producer sees it. One whose record does not open is an
// error that tells its id, by which it can be deleted.
func (rl *Relay) item(ctx context.Context, k *store.Kubbi) (resp api.Kubbi, err error) {
	o := &opened{Kubbi: k}
	if k.Status == store.Active {
		if o, err = open(rl.ringWith(ctx, k.MasterKey), k); err != nil {
			return resp, tellDamaged(k.ID, err)
		}
	}
	count, size := packageOf(k)
	return api.Kubbi{
		ID: k.ID, Status: statusOf(k), ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size,
		MaxRetrievals: optional(k.MaxRetrievals), RetrievalCount: k.Retrievals,
		FirstRetrievedAt: api.OptionalTime(k.FirstRetrievedAt), LastRetrievedAt: api.OptionalTime(k.LastRetrievedAt),
		Metadata: o.metadata, CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}, nil
}

// formatAnchor is an anchor as it stands in a header and a query.
func formatAnchor(a store.Anchor) string { return fmt.Sprintf("%d.%d.%d", a.Newest, a.Page, a.After) }

func parseAnchor(text string) (a store.Anchor, ok bool) {
	fields := strings.Split(text, ".")
	var n [3]int64
	for i, f := range fields {
		var err error
		if i == len(n) {
			return a, false
		}
		if n[i], err = strconv.ParseInt(f, 10, 64); err != nil || n[i] < 0 {
			return a, false
		}
	}
	a = store.Anchor{Newest: store.Number(n[0]), Page: int(min(n[1], maxPage)), After: store.Number(n[2])}
	return a, len(fields) == len(n) && a.Newest > 0
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
