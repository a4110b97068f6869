package cli

import (
	"fmt"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// getCmd is `kubbi-mcp get`.
type getCmd struct {
	ID   string `arg:"" name:"id" help:"The kubbi's id."`
	JSON bool   `name:"json" help:"Print JSON."`
	waitFlag
}

// waitFlag is the flag of get and inspect to wait for a change.
type waitFlag struct {
	Wait seconds `name:"wait" help:"Wait this long for the next claim or the end, such as 50s or 10m, and show it as soon as it is there."`
}

func (f waitFlag) option() kubbi.ReadOption { return kubbi.WithWait(f.Wait.duration()) }

// Run shows one of the caller's kubbis.
func (c *getCmd) Run(a *app) error {
	return show(a, "get", c.JSON, func(k *kubbi.Client) (*kubbi.Kubbi, error) { return k.Get(a.ctx, c.ID, c.option()) }, kubbiText)
}

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
