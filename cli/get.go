package cli

import (
	"errors"
	"fmt"

	"kubbi-mcp/internal/untrusted"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools"
)

// getCmd is `kubbi-mcp get`.
type getCmd struct {
	ID   string `arg:"" name:"id" help:"The id of a kubbi or of a request."`
	JSON bool   `name:"json" help:"Print JSON."`
	waitFlag
}

// waitFlag is the flag of get and inspect to wait for a change.
type waitFlag struct {
	Wait seconds `name:"wait" help:"Wait this long for the next claim or the end, such as 50s or 10m, and show it as soon as it is there."`
}

func (f waitFlag) option() kubbi.ReadOption { return kubbi.WithWait(f.Wait.duration()) }

// Run shows one of the caller's kubbis or requests.
func (c *getCmd) Run(a *app) error {
	get := func(b *backend) (any, error) {
		got, err := b.client.Get(a.ctx, c.ID, c.option())
		return orRequest(got, err, func() (*api.Asked, error) { return b.client.Asked(a.ctx, c.ID, c.option()) })
	}
	return show(a, "get", c.JSON, get, func(answer any) string {
		if asked, ok := answer.(*api.Asked); ok {
			return askedText(asked)
		}
		return kubbiText(answer.(*kubbi.Kubbi))
	})
}

// orRequest gives the answer about a kubbi, or, if there is no kubbi with the id, that about
// the request with the id. If there is no such request either, it gives the error about the
// kubbi.
func orRequest[T any](answer T, err error, request func() (*api.Asked, error)) (any, error) {
	if !errors.Is(err, kubbi.ErrNotFound) {
		return answer, err
	}
	asked, requestErr := request()
	if tools.NoRequest(requestErr) {
		return nil, err
	}
	return asked, requestErr
}

func askedText(r *api.Asked) string {
	rows := []row{
		{"request", r.ID},
		{"status", untrusted.Label(string(r.Status), requestStatuses...)},
		{"created", localTime(r.CreatedAt)},
		{"expires", localTime(r.ExpiresAt)},
	}
	if r.EndedAt != nil {
		rows = append(rows, row{"ended", localTime(*r.EndedAt)})
	}
	return details(rows)
}

var requestStatuses = []string{string(api.RequestPending), string(api.RequestAnswered), string(api.RequestExpired), string(api.RequestWithdrawn)}

func kubbiText(k *kubbi.Kubbi) string {
	used := fmt.Sprintf("%d so far", k.RetrievalCount)
	if k.Status == api.StatusActive {
		used += ", " + retrievals(k.MaxRetrievals, k.RetrievalCount)
	}
	rows := []row{
		{"id", k.ID},
		{"status", statusText(k.Status)},
		{"content", contentText(k.ContentType, k.FileCount, k.TotalSizeBytes)},
		{"retrievals", used},
		{"metadata", jsonText(kubbi.ReadableMetadata(k.Metadata))},
		{"created", localTime(k.CreatedAt)},
		{"expires", localTime(k.ExpiresAt)},
	}
	if n := len(kubbi.RecipientsOf(k.Metadata)); n > 0 {
		rows = append(rows, row{"sealed", "for " + count(n, "recipient")})
	}
	if k.FirstRetrievedAt != nil {
		rows = append(rows, row{"first claimed", localTime(*k.FirstRetrievedAt)})
	}
	if k.LastRetrievedAt != nil {
		rows = append(rows, row{"last claimed", localTime(*k.LastRetrievedAt)})
	}
	return details(rows)
}
