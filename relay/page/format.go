package page

import (
	"fmt"
	"strings"
	"time"
)

// formatSize writes a size with units of 1000, as file managers do.
func formatSize(n int64) string {
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

// formatTime writes a time as people do.
func formatTime(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// formatTimes writes how often something may be done.
func formatTimes(n int) string {
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

// formatType writes a content type in words.
func formatType(contentType string) string {
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
