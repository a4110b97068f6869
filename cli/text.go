package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"kubbi-mcp/internal/untrusted"
	"kubbi-mcp/kubbi/api"
)

// table lays out rows of cells in columns. Each cell is shown on one line.
func table(rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, oneLine(cell))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return b.String()
}

// row is a label and its value.
type row struct{ label, value string }

// details lays out rows. It leaves out rows without a value.
func details(rows []row) string {
	var cells [][]string
	for _, r := range rows {
		if r.value != "" {
			cells = append(cells, []string{r.label, r.value})
		}
	}
	return table(cells)
}

// oneLine keeps a value from another party on one line.
func oneLine(s string) string {
	return printable(strings.NewReplacer("\n", " ", "\t", " ").Replace(s))
}

// contentText describes the content of a kubbi.
func contentText(contentType string, files *int, total *int64) string {
	if files == nil {
		return typeText(contentType)
	}
	text := count(*files, "file")
	if total != nil {
		text += ", " + size(*total)
	}
	return text
}

// typeText is a content type, quoted if it is not valid.
func typeText(contentType string) string {
	if contentType == "" {
		return ""
	}
	return untrusted.Label(contentType)
}

// jsonText is a JSON value, "" for null.
func jsonText(v []byte) string {
	if s := string(v); s != "null" {
		return s
	}
	return ""
}

// statusText is a status, quoted if the API has no such status.
func statusText(s api.Status) string {
	if slices.Contains(api.KubbiStatuses, s) {
		return string(s)
	}
	return untrusted.Quote(string(s), 20)
}

// retrievals says how many retrievals are left.
func retrievals(limit *int, used int) string {
	if limit == nil {
		return "any number of retrievals"
	}
	return count(max(*limit-used, 0), "retrieval") + " left"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// size shows a number of bytes.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return count(int(n), "byte")
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
}

// localTime shows a time in the reader's time zone.
func localTime(t api.Time) string { return t.In(time.Local).Format("2006-01-02 15:04:05 MST") }
