package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"kubbi-mcp/internal/untrusted"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// maxShownMessage is how many characters of a request's message a terminal shows.
const maxShownMessage = 40

// requests lists the caller's requests. They have another table than kubbis, so that each row
// of a list in a pipe has the same columns.
func (c *listCmd) requests(a *app) error {
	p := kubbi.RequestsParams{Page: c.Page, Limit: c.Limit}
	if len(c.Status) > 1 {
		return usagef("with --requests, give one --status: %s", strings.Join(requestStatuses, ", "))
	}
	if len(c.Status) == 1 {
		if p.Status = api.RequestStatus(c.Status[0]); !slices.Contains(api.RequestStatuses, p.Status) {
			return usagef("a request has no status %s: give %s", p.Status, strings.Join(requestStatuses, ", "))
		}
	}
	return a.withBackend(func(b *backend) error {
		page, err := b.client.Requests(a.ctx, p)
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		kept := b.claimer().Handles() // has the message as long as there is an answer to use
		for i, r := range page.Requests {
			if h, err := kept.Get(a.ctx, r.ID); err == nil {
				page.Requests[i].Message = h.Message
			}
		}
		if c.JSON {
			return a.printJSON(page)
		}
		err = a.print(requestsText(page.Requests, isTerminal(a.stdout)))
		a.remarkPage(page.Pagination, "request")
		return err
	})
}

// requestsText is a list of requests: for a pipe with times in UTC and nothing cut.
func requestsText(all []api.Asked, terminal bool) string {
	rows := [][]string{{"ID", "STATUS", "CREATED", "EXPIRES", "MESSAGE"}}
	for _, r := range all {
		created, expires, message := r.CreatedAt.UTC().Format(time.RFC3339), r.ExpiresAt.UTC().Format(time.RFC3339), r.Message
		if terminal {
			created, expires, message = localTime(r.CreatedAt), localTime(r.ExpiresAt), untrusted.Line(message, maxShownMessage)
		}
		rows = append(rows, []string{r.ID, untrusted.Label(string(r.Status), requestStatuses...), created, expires, cmp.Or(message, "-")})
	}
	return table(rows)
}
