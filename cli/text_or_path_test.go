package cli

import (
	"strings"
	"testing"
)

// TestLooksLikePath distinguishes names of missing files from texts.
func TestLooksLikePath(t *testing.T) {
	for _, arg := range []string{
		"report.mdd", "a.c", "x.7z", "song.mp3", "archive.tar.gz", ".env", "icon@2x.png", "žluť.txt", "My.Report.docx",
		"docs/report", "docs/", "/etc/nothing", "./x", "../x", "~/x", "./my report", "/my report.md", "a/b/c.d",
	} {
		if !looksLikePath(arg) {
			t.Errorf("%q is taken for a text", arg)
		}
	}
	for _, arg := range []string{
		"", "word", "two words", "Read report.md", "see docs/report.md for more", "Done.", "Well...", "3.14", "v1.2.3", "10.0.0.1", "1.500",
		"https://example.com/a.html", "kubbi://0197", `{"a":"b/c.d"}`, `["a/b"]x"`, "<b>a/b</b>", "a/b\nc.d", "a/b\x00",
		strings.Repeat("a", 300) + ".md", "x/" + strings.Repeat("a", 300), strings.Repeat("a/", 3000),
		"header.eyJhIjoxfQ.c2lnbmF0dXJl", // a JWT
	} {
		if looksLikePath(arg) {
			t.Errorf("%q is taken for a path", arg)
		}
	}
}
