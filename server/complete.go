package server

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools"
)

const (
	maxCompletions   = 100 // the protocol's limit
	maxCompletePages = 10  // pages of the list that are searched for a prefix
)

// completer completes the arguments of the prompts and of the resource template.
type completer struct{ client *kubbi.Client }

// CompletePromptArgument completes an argument of a prompt. An unknown argument has
// no completions.
func (c completer) CompletePromptArgument(ctx context.Context, prompt string, arg mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	switch prompt + " " + arg.Name {
	case "handoff role":
		return completeWords(api.Roles, arg.Value), nil
	case "handoff content_type":
		return completeWords(commonTypes(), arg.Value), nil
	case "receipt id":
		return c.ids(ctx, arg.Value)
	default:
		return &mcp.Completion{Values: []string{}}, nil
	}
}

// CompleteResourceArgument completes the id of a kubbi's URI.
func (c completer) CompleteResourceArgument(ctx context.Context, uri string, arg mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	if uri == kubbiTemplate && arg.Name == "id" {
		return c.ids(ctx, arg.Value)
	}
	return &mcp.Completion{Values: []string{}}, nil
}

// commonTypes are content types that agents often hand over.
func commonTypes() []string {
	return append(slices.Clone(api.ContentTypes),
		"text/html", "text/x-diff", "text/x-python", "text/x-go", "text/javascript",
		"application/yaml", "application/xml", "application/pdf", "application/zip",
		"image/png", "image/jpeg", "image/svg+xml", "audio/mpeg", "video/mp4",
	)
}

func completeWords(words []string, prefix string) *mcp.Completion {
	out := &mcp.Completion{Values: []string{}}
	for _, w := range words {
		if strings.HasPrefix(w, strings.ToLower(prefix)) {
			out.Values = append(out.Values, w)
		}
	}
	out.Total = len(out.Values)
	return out
}

// ids completes the id of a kubbi that the caller has sent. The newest come first.
func (c completer) ids(ctx context.Context, prefix string) (*mcp.Completion, error) {
	prefix = strings.ToLower(prefix)
	out := &mcp.Completion{Values: []string{}}
	anchor := ""
	for page := 1; ; page++ {
		p, err := c.client.List(ctx, kubbi.ListParams{Page: page, Limit: api.MaxPageLimit, Anchor: anchor})
		if err != nil {
			return nil, errors.New(tools.ErrorText("list", err))
		}
		anchor = p.Anchor
		for _, k := range p.Kubbis {
			if _, ok := idOf(kubbiScheme + k.ID); !ok || !strings.HasPrefix(k.ID, prefix) {
				continue
			}
			if len(out.Values) == maxCompletions {
				out.HasMore = true
				return out, nil
			}
			out.Values = append(out.Values, k.ID)
		}
		switch {
		case prefix == "" && p.Pagination.Total >= len(out.Values):
			out.Total, out.HasMore = p.Pagination.Total, p.Pagination.Total > len(out.Values)
			return out, nil
		case page >= p.Pagination.TotalPages || len(p.Kubbis) == 0:
			out.Total = len(out.Values)
			return out, nil
		case page == maxCompletePages:
			out.HasMore = true
			return out, nil
		}
	}
}
