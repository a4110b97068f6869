package relay

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// listRequest is GET /api/v1/kubbis or /api/v1/requests.
type listRequest struct {
	by   *store.APIKey
	page store.Page
}

const maxPage = 1 << 30

// readList decodes GET /api/v1/kubbis.
func (rl *Relay) readList(h http.Header, r *http.Request) (listRequest, error) {
	return readPage(rl, h, r, api.KubbiStatuses)
}

// readRequestList decodes GET /api/v1/requests.
func (rl *Relay) readRequestList(h http.Header, r *http.Request) (listRequest, error) {
	return readPage(rl, h, r, api.RequestStatuses)
}

// readPage decodes the query of a list whose statuses are in the order of store.Status.
// "status" and "anchor" are our extensions. The vendor's reference says that limit is at most
// 100, but not what happens above that. Here a larger limit is an error; it is not cut to 100.
func readPage[S ~string](rl *Relay, h http.Header, r *http.Request, statuses []S) (req listRequest, err error) {
	if req.by, err = rl.producer(h, r); err != nil {
		return req, err
	}
	var f faults
	q := r.URL.Query()
	req.page = store.Page{
		Number: f.queryInt("page", q.Get("page"), 1, 1, maxPage),
		Limit:  f.queryInt("limit", q.Get("limit"), api.DefaultPageLimit, 1, api.MaxPageLimit),
	}
	if text := q.Get("anchor"); text != "" {
		var ok bool
		if req.page.Anchor, ok = parseAnchor(text); !ok {
			f.add("anchor must be what an earlier page's " + api.HeaderListAnchor + " header said")
		}
	}
	if text := q.Get("status"); text != "" {
		if i := slices.Index(statuses, S(text)); i >= 0 {
			req.page.Status = new(store.Status(i))
		} else {
			f.add(fmt.Sprintf("status must be %s, %s, %s or %s", statuses[0], statuses[1], statuses[2], statuses[3]))
		}
	}
	return req, f.err()
}

// queryInt reads a whole number of a query, or its default if it is absent.
func (f *faults) queryInt(name, text string, def, low, high int) int {
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		f.add(fmt.Sprintf("%s must be an integer between %d and %d", name, low, high))
		return def
	}
	return n
}

func (rl *Relay) list(ctx context.Context, h http.Header, req listRequest) (resp api.ListResponse, err error) {
	p := req.page
	l, err := rl.cfg.Store.List(ctx, req.by.Owner, p, rl.now())
	if err != nil {
		return resp, err
	}
	h.Set(api.HeaderListAnchor, formatAnchor(l.Anchor))
	if p.Status != nil {
		h.Set(api.HeaderListStatus, string(api.KubbiStatuses[*p.Status]))
	}
	resp.Kubbis = make([]api.Kubbi, len(l.Kubbis)) // an empty list is [], not null
	for i := range l.Kubbis {
		if resp.Kubbis[i], err = rl.producerView(ctx, &l.Kubbis[i]); err != nil {
			return resp, err
		}
	}
	resp.Pagination = paginationOf(p, l)
	return resp, nil
}

// listRequests answers GET /api/v1/requests. Each request has the status that its id gets.
func (rl *Relay) listRequests(ctx context.Context, h http.Header, req listRequest) (resp api.AskedList, err error) {
	l, err := rl.cfg.Store.List(ctx, requester(req.by.Owner), req.page, rl.now())
	if err != nil {
		return resp, err
	}
	h.Set(api.HeaderListAnchor, formatAnchor(l.Anchor))
	resp.Requests = make([]api.Asked, len(l.Kubbis))
	for i := range l.Kubbis {
		o, err := rl.currentRequest(ctx, &l.Kubbis[i])
		if err != nil {
			return resp, err
		}
		resp.Requests[i] = askedOf(o)
	}
	resp.Pagination = paginationOf(req.page, l)
	return resp, nil
}

func paginationOf(p store.Page, l *store.Listed) api.Pagination {
	return api.Pagination{Page: p.Number, Limit: p.Limit, Total: l.Total, TotalPages: (l.Total + p.Limit - 1) / p.Limit}
}

// formatAnchor is an anchor in a header or a query.
func formatAnchor(a store.Anchor) string { return fmt.Sprintf("%d.%d.%d", a.Newest, a.Page, a.After) }

func parseAnchor(text string) (a store.Anchor, ok bool) {
	fields := strings.Split(text, ".")
	if len(fields) != 3 {
		return a, false
	}
	var n [3]int64
	for i, f := range fields {
		var err error
		if n[i], err = strconv.ParseInt(f, 10, 64); err != nil || n[i] < 0 {
			return a, false
		}
	}
	a = store.Anchor{Newest: store.Number(n[0]), Page: int(min(n[1], maxPage)), After: store.Number(n[2])}
	return a, a.Newest > 0
}
