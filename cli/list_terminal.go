package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// defaultWidth is the width of a terminal that does not tell its own.
const defaultWidth = 80

// terminalWidth is the number of columns of w, if w is a terminal.
func terminalWidth(w io.Writer) (int, bool) {
	if !isTerminal(w) {
		return 0, false
	}
	if n, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && n > 0 {
		return n, true
	}
	return defaultWidth, true
}

// listRow is a kubbi on a terminal.
type listRow struct {
	cells    []string // in the order of columnTitles
	metadata string   // or ""
}

// The columns of a list on a terminal.
const (
	columnID = iota
	columnStatus
	columnContent
	columnClaimed
	columnCreated
	columnExpires
)

var columnTitles = []string{"ID", "STATUS", "CONTENT", "CLAIMED", "CREATED", "EXPIRES"}

// Widths in a list on a terminal.
const (
	columnGap    = 2
	leastContent = 12
	leastInline  = 24 // of a metadata column
)

// listScreen is a list for a terminal with that many columns. Its times are in the
// reader's zone, and metadata is cut to fit. An id is never cut, so that it can be copied.
func listScreen(all []kubbi.Kubbi, columns int, now time.Time) string {
	rows := make([]listRow, len(all))
	widestMetadata := 0
	for i, k := range all {
		rows[i] = screenRow(k, now)
		widestMetadata = max(widestMetadata, cellWidth(rows[i].metadata))
	}
	wanted := min(leastInline, widestMetadata)
	shown := []int{columnID, columnStatus, columnContent, columnClaimed, columnCreated, columnExpires}
	widths, total := columnWidths(rows, shown)
	if columns-total-columnGap < wanted {
		// The time of creation is the least important column.
		shown = slices.DeleteFunc(shown, func(c int) bool { return c == columnCreated })
		widths, total = columnWidths(rows, shown)
	}
	if over := total - columns; over > 0 {
		cut := min(over, max(0, widths[columnContent]-leastContent))
		widths[columnContent] -= cut
		total -= cut
	}
	if total > columns {
		return listStacked(rows, columns)
	}
	room := columns - total - columnGap // for metadata
	inline := room >= wanted

	var b strings.Builder
	line := func(cells []string, metadata string) {
		var l strings.Builder
		for _, c := range shown {
			text := shorten(cells[c], widths[c])
			l.WriteString(text + strings.Repeat(" ", widths[c]-cellWidth(text)+columnGap))
		}
		if inline {
			l.WriteString(shorten(metadata, room))
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
		if !inline && metadata != "" {
			b.WriteString(indent(metadata, columns))
		}
	}
	title := ""
	if inline && widestMetadata > 0 {
		title = "METADATA"
	}
	line(columnTitles, title)
	for _, r := range rows {
		line(r.cells, r.metadata)
	}
	return b.String()
}

// listStacked shows each kubbi on several lines, for a narrow terminal.
func listStacked(rows []listRow, columns int) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.cells[columnID] + "\n")
		b.WriteString(indent(r.cells[columnStatus]+" "+r.cells[columnExpires]+", "+r.cells[columnContent]+", "+r.cells[columnClaimed], columns))
		if r.metadata != "" {
			b.WriteString(indent(r.metadata, columns))
		}
	}
	return b.String()
}

func indent(text string, columns int) string {
	return "  " + shorten(text, max(columns-2, 1)) + "\n"
}

// columnWidths gives the width of each column in shown, and of all together.
func columnWidths(rows []listRow, shown []int) (widths []int, total int) {
	widths, total = make([]int, len(columnTitles)), columnGap*(len(shown)-1)
	for _, c := range shown {
		widths[c] = len(columnTitles[c])
		for _, r := range rows {
			widths[c] = max(widths[c], cellWidth(r.cells[c]))
		}
		total += widths[c]
	}
	return widths, total
}

func screenRow(k kubbi.Kubbi, now time.Time) listRow {
	created, layout := k.CreatedAt.In(time.Local), "Jan 2 15:04"
	if created.Format(time.DateOnly) == now.In(time.Local).Format(time.DateOnly) {
		layout = "15:04"
	}
	expires := "-"
	if k.Status == api.StatusActive || k.Status == api.StatusExpired {
		expires = relative(k.ExpiresAt.Sub(now))
	}
	return listRow{
		cells: []string{
			oneLine(k.ID), oneLine(statusText(k.Status)), oneLine(shortContent(k)), claimed(k), created.Format(layout), expires,
		},
		metadata: oneLine(jsonText(k.Metadata)),
	}
}

// shortContent describes a content in a few letters.
func shortContent(k kubbi.Kubbi) string {
	if k.FileCount != nil {
		text := count(*k.FileCount, "file")
		if k.TotalSizeBytes != nil {
			text += ", " + shortSize(*k.TotalSizeBytes)
		}
		return text
	}
	switch k.ContentType {
	case api.TypeText:
		return "text"
	case api.TypeJSON:
		return "json"
	case api.TypeMarkdown:
		return "markdown"
	case api.TypeCSV:
		return "csv"
	}
	return typeText(k.ContentType)
}

func shortSize(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%dB", n)
	case n < 1<<20:
		return fmt.Sprintf("%.0fK", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%.0fM", float64(n)/(1<<20))
	}
}

// relative shows a time by its distance from now.
func relative(d time.Duration) string {
	before, behind := "in ", ""
	if d < 0 {
		before, behind, d = "", " ago", -d
	}
	text := ""
	switch {
	case d < time.Minute:
		text = fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		text = fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 10*time.Hour:
		text = fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d < 48*time.Hour:
		text = fmt.Sprintf("%dh", int(d.Hours()))
	default:
		text = fmt.Sprintf("%dd", int(d.Hours())/24)
	}
	return before + text + behind
}

// shorten cuts a text to a width. A cut text ends with an ellipsis.
func shorten(text string, most int) string {
	if cellWidth(text) <= most {
		return text
	}
	used := 0
	for i, r := range text {
		w := runeWidth(r)
		if used+w > most-1 {
			return text[:i] + "…"
		}
		used += w
	}
	return text
}

// cellWidth is the width of a text on a terminal.
func cellWidth(text string) int {
	n := 0
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
