package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"kubbi-mcp/kubbi"
)

// inspectCmd is `kubbi-mcp inspect`.
type inspectCmd struct {
	URL  []string `arg:"" name:"url" help:"The claim URL, its token, or a text with the claim URL in it."`
	JSON bool     `name:"json" help:"Print JSON."`
}

// Run shows what a claim URL holds.
func (c *inspectCmd) Run(a *app) error {
	b, err := a.connect()
	if err != nil {
		return err
	}
	seen, err := b.client.Inspect(a.ctx, strings.Join(c.URL, " "))
	if err != nil {
		return closing(b, fmt.Errorf("inspect: %w", err))
	}
	if c.JSON {
		return closing(b, a.printJSON(seen))
	}
	return closing(b, a.print(inspectText(seen)))
}

func inspectText(seen *kubbi.Inspected) string {
	rows := []row{
		{"status", string(seen.Status)},
		{"content", contentText(seen.ContentType, seen.FileCount, seen.TotalSizeBytes)},
		{"retrievals", fmt.Sprintf("%d so far, %s", seen.RetrievalCount, retrievals(seen.MaxRetrievals, seen.RetrievalCount))},
		{"metadata", jsonText(seen.Metadata)},
		{"created", localTime(seen.CreatedAt)},
		{"expires", localTime(seen.ExpiresAt)},
	}
	if kubbi.IsSealed(seen) {
		rows = append(rows, row{"sealed", "yes: a claim needs the part after # of its claim URL"})
	}
	for _, f := range seen.Files {
		role := ""
		if f.Role != nil {
			role = ", " + *f.Role
		}
		rows = append(rows, row{"file", fmt.Sprintf("%s (%s, %s%s)", f.Name, f.ContentType, size(f.SizeBytes), role)})
	}
	return details(rows)
}

// row is one line of details.
type row struct{ label, value string }

// details lays out rows for people; one without a value is left out.
func details(rows []row) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if r.value != "" {
			fmt.Fprintf(w, "%s\t%s\n", r.label, oneLine(r.value))
		}
	}
	w.Flush()
	return b.String()
}

// oneLine keeps a value from another party within its cell.
func oneLine(s string) string {
	return printable(strings.NewReplacer("\n", " ", "\t", " ").Replace(s))
}

// contentText says what kind of content a kubbi has.
func contentText(contentType string, files *int, total *int64) string {
	if files == nil {
		return contentType
	}
	text := count(*files, "file")
	if total != nil {
		text += ", " + size(*total)
	}
	return text
}

// jsonText is a JSON value, or "" for null and none.
func jsonText(v []byte) string {
	if s := string(v); s != "null" {
		return s
	}
	return ""
}
