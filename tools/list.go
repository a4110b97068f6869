package tools

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

const listDescription = `List the kubbis you sent, newest first, a page at a time: ids, status, how often each was claimed. ` +
	`Use it to find an id, or to see what is still waiting to be picked up. Content and claim URLs are not shown; a lost claim_url can't be recovered.`

type listInput struct {
	Page  whole `json:"page,omitzero" jsonschema:"Which page, from 1. Default 1."`
	Limit whole `json:"limit,omitzero" jsonschema:"Kubbis on a page, 1 to 100. Default 20."`

	Status api.Status `json:"status,omitzero" jsonschema:"Only kubbis of this status. Default: all."`
}

type listOutput struct {
	Kubbis     []kubbiOutput `json:"kubbis" jsonschema:"Newest first."`
	Page       int           `json:"page" jsonschema:"This page, from 1."`
	Limit      int           `json:"limit" jsonschema:"Kubbis on a page."`
	Total      int           `json:"total" jsonschema:"Kubbis in all."`
	TotalPages int           `json:"total_pages" jsonschema:"Pages in all."`
}

func (t *toolset) list() definition {
	return define(t, "list", "List sent kubbis", listDescription,
		hints{readOnly: true, destructive: false, idempotent: true, openWorld: false},
		func(ctx context.Context, in listInput) (*mcp.CallToolResult, error) {
			page, err := t.Client.List(ctx, kubbi.ListParams{Page: int(in.Page), Limit: int(in.Limit), Status: in.Status})
			if err != nil {
				return nil, err
			}
			out := listOutput{
				Kubbis:     make([]kubbiOutput, 0, len(page.Kubbis)),
				Page:       page.Pagination.Page,
				Limit:      page.Pagination.Limit,
				Total:      page.Pagination.Total,
				TotalPages: page.Pagination.TotalPages,
			}
			for _, k := range page.Kubbis {
				out.Kubbis = append(out.Kubbis, kubbiOutputOf(k))
			}
			return structured(out)
		})
}
