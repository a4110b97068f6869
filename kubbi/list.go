package kubbi

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"kubbi-mcp/kubbi/api"
)

// Page is one page of the caller's kubbis.
type Page struct {
	api.ListResponse

	// Anchor keeps later pages stable while kubbis are created: set it in their
	// ListParams. It is "" if the server has no anchors, such as the hosted service.
	Anchor string `json:"-"`
}

// ListParams says which kubbis to list.
type ListParams struct {
	Page   int        // from 1; 0 for the first
	Limit  int        // kubbis on each page, at most api.MaxPageLimit; 0 for the server's default of api.DefaultPageLimit
	Status api.Status // only these kubbis; "" for all
	Anchor string     // of an earlier page; "" for none
}

// List gives one page of the caller's kubbis, newest first. Errors match
// ErrUnauthorized, ErrValidation, ErrNetwork.
//
// If the server can't filter by status, such as the hosted service, List reads all kubbis
// and filters them. If there are more than 5,000, the error matches ErrValidation.
func (c *Client) List(ctx context.Context, p ListParams) (*Page, error) {
	query := pageQuery(p.Page, p.Limit)
	if p.Anchor != "" {
		query.Set("anchor", p.Anchor)
	}
	if p.Status != "" {
		if !slices.Contains(api.KubbiStatuses, p.Status) {
			return nil, invalid("status is active, expired, burned or deleted")
		}
		query.Set("status", string(p.Status))
	}
	page, header, err := do[api.ListResponse](ctx, c, request{
		method:   http.MethodGet,
		origin:   c.base,
		path:     api.PathKubbis,
		query:    query.Encode(),
		shape:    api.PathKubbis,
		producer: true,
	})
	// A server that does not know the parameter ignores it, or refuses it.
	if p.Status != "" && (err == nil && header.Get(api.HeaderListStatus) != string(p.Status) || errors.Is(err, ErrValidation)) {
		return c.filter(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	if page.Kubbis == nil {
		return nil, incomplete("kubbis")
	}
	if len(page.Kubbis) > api.MaxPageLimit {
		return nil, outOfBounds("page is longer, and so")
	}
	for _, k := range page.Kubbis {
		if e := checkFields(k.ID, k.Status, k.ContentType, k.Metadata); e != nil {
			return nil, e
		}
	}
	out := &Page{ListResponse: *page}
	if anchor := header.Get(api.HeaderListAnchor); isWord(anchor) {
		out.Anchor = anchor
	}
	return out, nil
}

// pageQuery is the query for a page of a list; 0 leaves a parameter out.
func pageQuery(page, limit int) url.Values {
	query := url.Values{}
	if page != 0 {
		query.Set("page", strconv.Itoa(page))
	}
	if limit != 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	return query
}

// maxFiltered is how many kubbis List reads if the server can't filter.
const maxFiltered = 5000

// maxStale is how many pages in a row may hold no new kubbi.
const maxStale = 20

// All iterates over the caller's kubbis, newest first, and yields each of them once. It
// reads them in pages of limit kubbis (0: api.MaxPageLimit). Our relay lists the kubbis that
// existed when All began. With another service, kubbis that are created meanwhile may be
// missing, but All neither skips nor repeats others. An error ends the iteration.
func (c *Client) All(ctx context.Context, limit int) iter.Seq2[Kubbi, error] {
	if limit == 0 {
		limit = api.MaxPageLimit
	}
	return func(yield func(Kubbi, error) bool) {
		seen := map[string]bool{}
		anchor, stale := "", 0
		for n := 1; ; n++ {
			page, err := c.List(ctx, ListParams{Page: n, Limit: limit, Anchor: anchor})
			if err != nil {
				yield(Kubbi{}, err)
				return
			}
			anchor = page.Anchor
			stale++
			for _, k := range page.Kubbis {
				if seen[k.ID] {
					continue
				}
				seen[k.ID], stale = true, 0
				if !yield(k, nil) {
					return
				}
			}
			if len(page.Kubbis) == 0 || n >= page.Pagination.TotalPages {
				return
			}
			if stale == maxStale {
				yield(Kubbi{}, unusable("the list repeats itself"))
				return
			}
		}
	}
}

// filter gives a page of the kubbis with a status, from the list of all kubbis.
func (c *Client) filter(ctx context.Context, p ListParams) (*Page, error) {
	p.Page, p.Limit = cmp.Or(p.Page, 1), cmp.Or(p.Limit, api.DefaultPageLimit)
	if p.Page < 1 || p.Limit < 1 || p.Limit > api.MaxPageLimit {
		return nil, invalid("page is at least 1, and limit from 1 to %d", api.MaxPageLimit)
	}
	var found []Kubbi
	seen := 0
	for k, err := range c.All(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if seen++; seen > maxFiltered {
			return nil, invalid("this service does not filter by status, and there are more than %d kubbis to look at: list them without a status", maxFiltered)
		}
		if k.Status == p.Status {
			found = append(found, k)
		}
	}
	total := len(found)
	from := min(total, (min(p.Page, total+1)-1)*p.Limit)
	return &Page{ListResponse: api.ListResponse{
		Kubbis:     append([]Kubbi{}, found[from:min(total, from+p.Limit)]...),
		Pagination: api.Pagination{Page: p.Page, Limit: p.Limit, Total: total, TotalPages: (total + p.Limit - 1) / p.Limit},
	}}, nil
}
