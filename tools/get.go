package tools

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

const getDescription = `Show one kubbi that you sent, by its id: status, how often and when it was claimed, when it expires. ` +
	`Use it to see whether the recipient has picked it up. It shows neither the content nor the claim_url. To look at somebody else's claim_url use inspect.`

type idInput struct {
	ID string `json:"id" jsonschema:"The id that send or send_files returned. Not the claim URL."`
}

type kubbiOutput struct {
	ID               string         `json:"id" jsonschema:"The kubbi's id."`
	Status           api.Status     `json:"status" jsonschema:"active, expired, burned or deleted."`
	ContentType      string         `json:"content_type,omitzero" jsonschema:"Of a single content."`
	FileCount        *int           `json:"file_count,omitzero" jsonschema:"Of a package."`
	TotalSizeBytes   *int64         `json:"total_size_bytes,omitzero" jsonschema:"Of a package, in bytes, decoded."`
	MaxRetrievals    *int           `json:"max_retrievals" jsonschema:"How often it may be claimed in all; null: no limit."`
	RetrievalCount   int            `json:"retrieval_count" jsonschema:"How often it was claimed so far."`
	FirstRetrievedAt *api.Time      `json:"first_retrieved_at" jsonschema:"When it was first claimed, UTC; null: not yet."`
	LastRetrievedAt  *api.Time      `json:"last_retrieved_at" jsonschema:"When it was last claimed, UTC; null: not yet."`
	Metadata         jsontext.Value `json:"metadata" jsonschema:"The metadata it was sent with."`
	CreatedAt        api.Time       `json:"created_at" jsonschema:"When it was made, UTC."`
	ExpiresAt        api.Time       `json:"expires_at" jsonschema:"When it is wiped, UTC."`
}

func (t *toolset) get() definition {
	return define(t, "get", "Get a sent kubbi", getDescription,
		hints{readOnly: true, destructive: false, idempotent: true, openWorld: false},
		func(ctx context.Context, in idInput) (*mcp.CallToolResult, error) {
			got, err := t.Client.Get(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return structured(kubbiOutputOf(*got))
		})
}

// Describe gives the JSON that get answers with.
func Describe(k kubbi.Kubbi) ([]byte, error) { return marshal(kubbiOutputOf(k)) }

func kubbiOutputOf(k kubbi.Kubbi) kubbiOutput {
	return kubbiOutput{
		ID:               k.ID,
		Status:           k.Status,
		ContentType:      k.ContentType,
		FileCount:        k.FileCount,
		TotalSizeBytes:   k.TotalSizeBytes,
		MaxRetrievals:    k.MaxRetrievals,
		RetrievalCount:   k.RetrievalCount,
		FirstRetrievedAt: k.FirstRetrievedAt,
		LastRetrievedAt:  k.LastRetrievedAt,
		Metadata:         orNull(k.Metadata),
		CreatedAt:        k.CreatedAt,
		ExpiresAt:        k.ExpiresAt,
	}
}
