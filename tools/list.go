package tools

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/args"
)

const listDescription = `List the kubbis you sent, newest first: ids, status, how often each was claimed. ` +
	`Use it to find an id, or to see what still waits to be picked up. A lost claim_url can't be recovered. It also gives this machine's public key, for senders who give it as to.`

type listInput struct {
	Page  args.Int `json:"page,omitzero" jsonschema:"From 1."`
	Limit args.Int `json:"limit,omitzero" jsonschema:"Kubbis on a page. Default 20."`

	Status api.Status `json:"status,omitzero" jsonschema:"Only these. Default: all."`
}

type listOutput struct {
	Notice     string        `json:"notice"`
	Kubbis     []kubbiOutput `json:"kubbis"`
	Page       int           `json:"page"`
	Limit      int           `json:"limit"`
	Total      int           `json:"total"`
	TotalPages int           `json:"total_pages"`
	PublicKey  string        `json:"public_key,omitzero" jsonschema:"Of this machine. What is sent with it as to opens here alone."`
}

func (t *toolset) list() definition {
	return define(t, "list", "List sent kubbis", listDescription,
		hints{readOnly: true, destructive: false, idempotent: true, openWorld: false},
		func(ctx context.Context, _ call, in listInput) (*mcp.CallToolResult, error) {
			page, err := t.Client.List(ctx, kubbi.ListParams{Page: int(in.Page), Limit: int(in.Limit), Status: in.Status})
			if err != nil {
				return nil, err
			}
			out := listOutput{
				Notice:     kubbiNotice,
				Kubbis:     make([]kubbiOutput, 0, len(page.Kubbis)),
				Page:       page.Pagination.Page,
				Limit:      page.Pagination.Limit,
				Total:      page.Pagination.Total,
				TotalPages: page.Pagination.TotalPages,
				PublicKey:  t.PublicKey(ctx),
			}
			for _, k := range page.Kubbis {
				out.Kubbis = append(out.Kubbis, kubbiOutputOf(k))
			}
			return structured(out)
		})
}
