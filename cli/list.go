package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// listCmd is `kubbi-mcp list`.
type listCmd struct {
	Status   []string `enum:"active,expired,burned,deleted,pending,answered,withdrawn" placeholder:"STATUS" help:"Only these: active, expired, burned or deleted; several with commas between, or the flag again. Of requests: pending, expired, answered or withdrawn."`
	Requests bool     `help:"List the requests that you made, instead of kubbis."`
	Page     int      `default:"1" placeholder:"N" help:"Which page, from 1 (${default})."`
	Limit    int      `default:"20" placeholder:"N" help:"Kubbis or requests on a page, at most 100 (${default})."`
	JSON     bool     `name:"json" help:"Print JSON."`
}

const maxPage = 1_000_000 // its kubbis can still be counted in an int

// Run lists the caller's kubbis or requests.
func (c *listCmd) Run(a *app) error {
	if c.Page < 1 || c.Page > maxPage {
		return usagef("--page must be between 1 and %d", maxPage)
	}
	if c.Limit < 1 || c.Limit > api.MaxPageLimit {
		return usagef("--limit must be between 1 and %d", api.MaxPageLimit)
	}
	if c.Requests {
		return c.requests(a)
	}
	for _, s := range c.Status {
		if !slices.Contains(api.KubbiStatuses, api.Status(s)) {
			return usagef("no kubbi has the status %s: give --requests as well for requests", s)
		}
	}
	return a.withBackend(func(b *backend) error {
		page, err := c.page(a.ctx, b.client)
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if c.JSON {
			return a.printJSON(page)
		}
		text := listText(page.Kubbis)
		if width, ok := terminalWidth(a.stdout); ok {
			text = listScreen(page.Kubbis, width, time.Now())
		}
		err = a.print(text)
		a.remarkPage(page.Pagination, "kubbi")
		return err
	})
}

// remarkPage says where a page stands, unless it holds all that there is.
func (a *app) remarkPage(p api.Pagination, noun string) {
	if p.TotalPages > 1 || p.Total == 0 {
		a.remark("page %d of %d, %s in all", p.Page, p.TotalPages, count(p.Total, noun))
	}
}

// page gets the kubbis of the statuses in --status, or of all.
func (c *listCmd) page(ctx context.Context, client *kubbi.Client) (*kubbi.Page, error) {
	var statuses []api.Status
	for _, s := range c.Status {
		if !slices.Contains(statuses, api.Status(s)) {
			statuses = append(statuses, api.Status(s))
		}
	}
	switch len(statuses) {
	case 0, len(api.KubbiStatuses):
		return client.List(ctx, kubbi.ListParams{Page: c.Page, Limit: c.Limit})
	case 1:
		return client.List(ctx, kubbi.ListParams{Page: c.Page, Limit: c.Limit, Status: statuses[0]})
	}
	var all []kubbi.Kubbi
	total := 0
	for _, s := range statuses {
		found, n, err := newest(ctx, client, s, c.Page*c.Limit)
		if err != nil {
			return nil, err
		}
		all, total = append(all, found...), total+n
	}
	slices.SortStableFunc(all, func(a, b kubbi.Kubbi) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt.Time), cmp.Compare(b.ID, a.ID))
	})
	from := min((c.Page-1)*c.Limit, len(all))
	return &kubbi.Page{ListResponse: api.ListResponse{
		Kubbis:     all[from:min(from+c.Limit, len(all))],
		Pagination: api.Pagination{Page: c.Page, Limit: c.Limit, Total: total, TotalPages: (total + c.Limit - 1) / c.Limit},
	}}, nil
}

// newest gets the newest kubbis of a status, at least most of them if there are so many,
// and the number of all. A service lists one status at a time.
func newest(ctx context.Context, client *kubbi.Client, status api.Status, most int) ([]kubbi.Kubbi, int, error) {
	var all []kubbi.Kubbi
	anchor := ""
	for n := 1; ; n++ {
		page, err := client.List(ctx, kubbi.ListParams{Page: n, Limit: api.MaxPageLimit, Status: status, Anchor: anchor})
		if err != nil {
			return nil, 0, err
		}
		anchor = page.Anchor
		all = append(all, page.Kubbis...)
		if len(all) >= most || len(page.Kubbis) == 0 || n >= page.Pagination.TotalPages {
			return all, page.Pagination.Total, nil
		}
	}
}

// listText is a list for pipes: its columns do not depend on the kubbis, nothing is cut,
// and times are in UTC.
func listText(all []kubbi.Kubbi) string {
	rows := [][]string{{"ID", "STATUS", "CONTENT", "RETRIEVALS", "CREATED", "EXPIRES", "METADATA"}}
	for _, k := range all {
		rows = append(rows, []string{k.ID, statusText(k.Status), contentText(k.ContentType, k.FileCount, k.TotalSizeBytes), claimed(k),
			k.CreatedAt.UTC().Format(time.RFC3339), k.ExpiresAt.UTC().Format(time.RFC3339), cmp.Or(jsonText(k.Metadata), "-")})
	}
	return table(rows)
}

// claimed shows the number of retrievals and their maximum.
func claimed(k kubbi.Kubbi) string {
	if k.MaxRetrievals == nil {
		return fmt.Sprintf("%d of any", k.RetrievalCount)
	}
	return fmt.Sprintf("%d of %d", k.RetrievalCount, *k.MaxRetrievals)
}
