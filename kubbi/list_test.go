package kubbi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"kubbi-mcp/kubbi/api"
)

func kubbiID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// lister has a list of kubbis, newest first, and adds grow kubbis after every page. With
// anchors it shows the list as it was at the first page.
type lister struct {
	seen
	total, grow int
	anchors     bool
}

func (l *lister) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.add(r)
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	page, limit = max(1, page), cmp.Or(limit, api.DefaultPageLimit)
	total := l.total
	if l.anchors {
		if a := r.URL.Query().Get("anchor"); a != "" {
			total, _ = strconv.Atoi(a)
		}
		w.Header().Set(api.HeaderListAnchor, strconv.Itoa(total))
	}
	out := api.ListResponse{Kubbis: []api.Kubbi{}, Pagination: api.Pagination{Page: page, Limit: limit, Total: total, TotalPages: (total + limit - 1) / limit}}
	for i := total - (page-1)*limit; i > max(0, total-page*limit); i-- {
		k := okKubbi
		k.ID = kubbiID(i)
		out.Kubbis = append(out.Kubbis, k)
	}
	l.total += l.grow
	answer(w, 200, out)
}

func TestAll(t *testing.T) {
	for _, tt := range []struct {
		total, grow, limit int
		anchors            bool
		pages              int
	}{
		{0, 0, 10, true, 1},
		{1, 0, 10, true, 1},
		{10, 0, 10, true, 1},
		{25, 0, 10, true, 3},
		{25, 0, 10, false, 3},
		{25, 7, 10, true, 3},
		{25, 3, 10, false, 0},
		{250, 0, 0, true, 3}, // 100 a page by default
	} {
		l := &lister{total: tt.total, grow: tt.grow, anchors: tt.anchors}
		c, _ := serve(t, l.ServeHTTP)
		want := tt.total
		for k, err := range c.All(context.Background(), tt.limit) {
			if err != nil {
				t.Fatal(err)
			}
			if k.ID != kubbiID(want) {
				t.Errorf("%+v: got %s, want %s", tt, k.ID, kubbiID(want))
			}
			want--
		}
		if want != 0 {
			t.Errorf("%+v: %d were left out", tt, want)
		}
		if n := len(l.all()); tt.pages != 0 && n != tt.pages {
			t.Errorf("%+v: %d pages, want %d", tt, n, tt.pages)
		}
		for i, r := range l.all() {
			q, _ := url.ParseQuery(r.query)
			if has := q.Has("anchor"); has != (tt.anchors && i > 0) || q.Get("page") != strconv.Itoa(i+1) {
				t.Errorf("%+v: page %d asks for %q", tt, i+1, r.query)
			}
		}
	}
}

// A service that ignores or refuses the status parameter is asked for all kubbis.
func TestListOfOneStatusElsewhere(t *testing.T) {
	ctx := context.Background()
	for name, refuses := range map[string]bool{"ignores it": false, "refuses it": true} {
		t.Run(name, func(t *testing.T) {
			l := &lister{total: 250}
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if refuses && r.URL.Query().Has("status") {
					answer(w, 400, api.ErrorBody{Error: api.CodeValidation, Message: "no such parameter"})
					return
				}
				l.ServeHTTP(w, r)
			})
			page, err := c.List(ctx, ListParams{Page: 3, Limit: 100, Status: api.StatusActive})
			if err != nil {
				t.Fatal(err)
			}
			if page.Pagination != (api.Pagination{Page: 3, Limit: 100, Total: 250, TotalPages: 3}) || len(page.Kubbis) != 50 || page.Kubbis[0].ID != kubbiID(50) {
				t.Errorf("%+v with %d kubbis", page.Pagination, len(page.Kubbis))
			}
			for _, p := range []ListParams{{Status: api.StatusBurned}, {Page: 1 << 60, Limit: 100, Status: api.StatusActive}} {
				if page, err = c.List(ctx, p); err != nil || page.Kubbis == nil || len(page.Kubbis) != 0 {
					t.Errorf("%+v: %+v, %v, want none", p, page, err)
				}
			}
			for _, p := range []ListParams{{Limit: 101, Status: api.StatusActive}, {Page: -1, Status: api.StatusActive}, {Limit: -1, Status: api.StatusActive}, {Status: "gone"}} {
				if _, err := c.List(ctx, p); !errors.Is(err, ErrValidation) {
					t.Errorf("%+v: %v, want ErrValidation", p, err)
				}
			}
		})
	}
	c, _ := serve(t, (&lister{total: maxFiltered + 1}).ServeHTTP)
	if _, err := c.List(ctx, ListParams{Status: api.StatusActive}); !errors.Is(err, ErrValidation) {
		t.Errorf("more than can be looked at: %v, want ErrValidation", err)
	}
}

func TestAllStops(t *testing.T) {
	l := &lister{total: 100}
	c, _ := serve(t, l.ServeHTTP)
	n := 0
	for _, err := range c.All(context.Background(), 10) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 15 {
			break
		}
	}
	if n := len(l.all()); n != 2 {
		t.Errorf("%d pages were asked for, want 2", n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	for _, err := range c.All(ctx, 10) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("after a cancel the last error is %v", last)
	}
	// A server that always has one more page of the same is not believed for ever.
	again, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, api.ListResponse{Kubbis: []api.Kubbi{okKubbi}, Pagination: api.Pagination{TotalPages: 1 << 30}})
	})
	n = 0
	for _, err := range again.All(context.Background(), 10) {
		n++
		last = err
	}
	if n != 2 || last == nil {
		t.Errorf("%d steps, then %v; want the one kubbi and an error", n, last)
	}
}

func TestListQuery(t *testing.T) {
	var s seen
	c, _ := serve(t, failing(&s, 0, nil))
	for p, want := range map[ListParams]string{
		{}:                   "",
		{Page: 2}:            "page=2",
		{Limit: 5}:           "limit=5",
		{Page: -1, Limit: 9}: "limit=9&page=-1", // the server says what is wrong
	} {
		page, err := c.List(context.Background(), p)
		if err != nil || len(page.Kubbis) != 1 || page.Pagination.Total != 1 {
			t.Errorf("%+v: %+v, %v", p, page, err)
		}
		if reqs := s.all(); reqs[len(reqs)-1].query != want {
			t.Errorf("%+v asks for %q, want %q", p, reqs[len(reqs)-1].query, want)
		}
	}
}

// A delete that fails with a conflict after an attempt without an answer asks for the status.
func TestDeleteAfterLostAnswer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		first  http.HandlerFunc
		status api.Status
		want   error
	}{
		{"lost, deleted", func(http.ResponseWriter, *http.Request) { cut() }, api.StatusDeleted, nil},
		{"lost, expired", func(http.ResponseWriter, *http.Request) { cut() }, api.StatusExpired, ErrConflict},
		{"busy, deleted", func(w http.ResponseWriter, _ *http.Request) { refuse(w, api.CodeUnavailable, "busy") }, api.StatusDeleted, ErrConflict},
		{"at once", func(w http.ResponseWriter, _ *http.Request) { refuse(w, api.CodeConflict, "not active") }, api.StatusDeleted, ErrConflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s seen
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch n := s.add(r); {
				case n == 1:
					tt.first(w, r)
				case r.Method == http.MethodDelete:
					refuse(w, api.CodeConflict, "not active")
				default:
					k := okKubbi
					k.Status = tt.status
					answer(w, 200, k)
				}
			})
			d, err := c.Delete(context.Background(), testID)
			wantOnly(t, err, tt.want)
			if err == nil && (d.ID != testID || d.Status != api.StatusDeleted) {
				t.Errorf("deleted %+v", d)
			}
		})
	}
}

// The reference does not say what a delete answers.
func TestDeleteAnswer(t *testing.T) {
	for _, body := range []string{`{}`, `{"message":"done"}`, `{"id":"` + testID + `","status":"deleted"}`} {
		c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
		d, err := c.Delete(context.Background(), testID)
		if err != nil || d.ID != testID || d.Status != api.StatusDeleted {
			t.Errorf("%s: %+v, %v", body, d, err)
		}
	}
}
