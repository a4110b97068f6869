package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// listCmd is `kubbi-mcp list`.
type listCmd struct {
	Page  int  `default:"1" placeholder:"N" help:"Which page, from 1 (${default})."`
	Limit int  `default:"20" placeholder:"N" help:"Kubbis on a page, at most 100 (${default})."`
	JSON  bool `name:"json" help:"Print JSON."`
}

// Run lists the caller's kubbis.
func (c *listCmd) Run(a *app) error {
	if c.Page < 1 {
		return usagef("--page must be at least 1")
	}
	if c.Limit < 1 || c.Limit > api.MaxPageLimit {
		return usagef("--limit must be between 1 and %d", api.MaxPageLimit)
	}
	b, err := a.connect()
	if err != nil {
		return err
	}
	page, err := b.client.List(a.ctx, kubbi.ListParams{Page: c.Page, Limit: c.Limit})
	if err != nil {
		return closing(b, fmt.Errorf("list: %w", err))
	}
	if c.JSON {
		return closing(b, a.printJSON(page))
	}
	err = a.print(listText(page))
	if p := page.Pagination; p.TotalPages > 1 || p.Total == 0 {
		a.remark("page %d of %d, %s in all", p.Page, p.TotalPages, count(p.Total, "kubbi"))
	}
	return closing(b, err)
}

func listText(page *kubbi.Page) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATUS\tCONTENT\tRETRIEVALS\tCREATED\tEXPIRES")
	for _, k := range page.Kubbis {
		limit := "any"
		if k.MaxRetrievals != nil {
			limit = fmt.Sprint(*k.MaxRetrievals)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d of %s\t%s\t%s\n", oneLine(k.ID), oneLine(string(k.Status)),
			oneLine(contentText(k.ContentType, k.FileCount, k.TotalSizeBytes)),
			k.RetrievalCount, limit, localTime(k.CreatedAt), localTime(k.ExpiresAt))
	}
	w.Flush()
	return b.String()
}
