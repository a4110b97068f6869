package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// listed are kubbis of each kind with the given metadata.
func listed(now time.Time, metadata string) []kubbi.Kubbi {
	made := api.NewTime(now.Add(-26 * time.Hour))
	kubbis := []kubbi.Kubbi{
		{Status: api.StatusActive, ContentType: api.TypeText, MaxRetrievals: new(1), CreatedAt: api.NewTime(now.Add(-time.Minute)), ExpiresAt: api.NewTime(now.Add(59*time.Minute + 30*time.Second))},
		{Status: api.StatusExpired, ContentType: api.TypeJSON, RetrievalCount: 12, CreatedAt: made, ExpiresAt: api.NewTime(now.Add(-2*time.Hour - 5*time.Minute))},
		{Status: api.StatusBurned, FileCount: new(20), TotalSizeBytes: new(int64(256 << 20)), CreatedAt: made, ExpiresAt: made},
		{Status: api.StatusDeleted, ContentType: "application/vnd.somebody.else+xml", CreatedAt: made, ExpiresAt: made},
	}
	for i := range kubbis {
		kubbis[i].ID = fmt.Sprintf("01970000-0000-7000-8000-%012d", i)
		if i%2 == 0 && metadata != "" {
			kubbis[i].Metadata = []byte(metadata)
		}
	}
	return kubbis
}

// TestListScreen shows lists on terminals of every width. No line is wider than the
// terminal, no id is cut, and all statuses and a part of the metadata are shown.
func TestListScreen(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.Local)
	for name, metadata := range map[string]string{
		"none": "", "short": `{"a":1}`, "long": `{"from":"` + strings.Repeat("build 7 ", 100) + `"}`,
		"wide": `{"from":"` + strings.Repeat("構築🐎", 100) + `"}`, "control": "{\"from\":\"\u202e\u009b31mx\"}",
	} {
		for columns := 20; columns <= 300; columns++ {
			text := listScreen(listed(now, metadata), columns, now)
			for line := range strings.Lines(text) {
				if got := cellWidth(strings.TrimSuffix(line, "\n")); got > max(columns, 36) {
					t.Fatalf("%s: a line of %d columns on a terminal of %d:\n%s", name, got, columns, text)
				}
			}
			for _, want := range []string{"01970000-0000-7000-8000-000000000003", "active", "expired", "burned", "deleted"} {
				if !strings.Contains(text, want) && columns >= 36 {
					t.Fatalf("%s: %d columns lack %q:\n%s", name, columns, want, text)
				}
			}
			if strings.ContainsAny(text, "\u202e\u009b") || metadata != "" && !strings.Contains(text, `{"`) {
				t.Fatalf("%s: metadata on %d columns:\n%s", name, columns, text)
			}
		}
	}
}

// TestListScreenShapes compares lists of some widths.
func TestListScreenShapes(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.Local)
	for columns, want := range map[int]string{
		120: `
ID                                    STATUS   CONTENT   CLAIMED   CREATED       EXPIRES    METADATA
01970000-0000-7000-8000-000000000000  active   text      0 of 1    11:59         in 59m     {"from":"build 7"}
01970000-0000-7000-8000-000000000001  expired  json      12 of any Nov 28 10:00  2h05m ago
`,
		80: `
ID                                    STATUS   CONTENT  CLAIMED    EXPIRES
01970000-0000-7000-8000-000000000000  active   text     0 of 1     in 59m
  {"from":"build 7"}
01970000-0000-7000-8000-000000000001  expired  json     12 of any  2h05m ago
`,
		40: `
01970000-0000-7000-8000-000000000000
  active in 59m, text, 0 of 1
  {"from":"build 7"}
01970000-0000-7000-8000-000000000001
  expired 2h05m ago, json, 12 of any
`,
	} {
		got := listScreen(listed(now, `{"from":"build 7"}`)[:2], columns, now)
		if squeeze(got) != squeeze(want[1:]) {
			t.Errorf("%d columns:\n%s", columns, got)
		}
	}
}

// squeeze replaces several spaces by one.
func squeeze(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}

func TestRelative(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "in 0s", 59 * time.Second: "in 59s", time.Minute: "in 1m", time.Hour - 1: "in 59m", 65 * time.Minute: "in 1h05m",
		23 * time.Hour: "in 23h", 72 * time.Hour: "in 3d", -90 * time.Second: "1m ago",
	} {
		if got := relative(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want string
	}{
		{"", 0, ""}, {"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"構築構築", 8, "構築構築"}, {"構築構築", 7, "構築構…"}, {"構築構築", 6, "構築…"},
		{"e\u0301a\u0301", 2, "e\u0301a\u0301"}, {"abc", 1, "…"}, {"می\u200cخواهم", 7, "می\u200cخواهم"},
	} {
		if got := shorten(c.text, c.most); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.text, c.most, got, c.want)
		}
	}
}
