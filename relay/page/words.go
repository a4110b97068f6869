package page

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// bytesOf gives a size in words. Units are of 1000, as file managers have them.
func bytesOf(n int64) string {
	switch {
	case n == 1:
		return "1 byte"
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 999_950:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// when gives a time as people write it.
func when(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// times gives how often something may still be done.
func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// kind gives a content type in words.
func kind(contentType string) string {
	switch contentType {
	case "text/plain":
		return "text"
	case "text/markdown":
		return "text (Markdown)"
	case "text/csv":
		return "table (CSV)"
	case "application/json":
		return "data (JSON)"
	case "application/octet-stream":
		return "file"
	}
	main, sub, _ := strings.Cut(contentType, "/")
	if main == "image" || main == "audio" || main == "video" {
		return main + " (" + sub + ")"
	}
	return contentType
}

// visible shows what can't be seen or would turn the text around it, so that
// nothing looks like what it is not.
func visible(s string) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "⟦U+%04X⟧", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case unicode.IsControl(r),
		r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, // turn around
		r == 0x2028, r == 0x2029, r == 0xfeff, r >= 0xe0000 && r <= 0xe007f:
		return true
	}
	return false
}
