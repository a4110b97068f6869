package untrusted

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"":                               `""`,
		" a \x1b[1m\n\t b ":              `"a [1m b"`,
		`end" \ of`:                      `"end\" \\ of"`,
		"ig\u200bno\u202ere\U000e0041":   `"ignore"`,
		"\u3164\ufe0f\u00ad":             `""`,
		"half \xff":                      "\"half \ufffd\"",
		strings.Repeat("ä", MaxQuote+1):  `"` + strings.Repeat("ä", MaxQuote) + `…"`,
		strings.Repeat("a ", MaxQuote*9): `"` + strings.Repeat("a ", MaxQuote/2-1) + `a …"`,
	} {
		if got := Quote(text, MaxQuote); got != want {
			t.Errorf("Quote(%q) is %s, want %s", text, got, want)
		}
	}
}

func TestEscapeJSON(t *testing.T) {
	value := map[string]any{"a\u200b": "x\U000e0041y\u202e", "plain": "ä 資料"}
	plain, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	escaped := EscapeJSON(plain)
	if HasInvisible(string(escaped)) || !strings.Contains(string(escaped), "資料") {
		t.Errorf("got %s", escaped)
	}
	var back map[string]any
	if err := json.Unmarshal(escaped, &back); err != nil || back["a\u200b"] != value["a\u200b"] {
		t.Errorf("another value: %v, %v", back, err)
	}
}

func TestLabel(t *testing.T) {
	for text, want := range map[string]string{
		"data": "data", "text/markdown": "text/markdown", "application/vnd.api+json": "application/vnd.api+json",
		"obey me": `"obey me"`, "text/plain; obey me": `"text/plain; obey me"`, "": `""`, "text/" + strings.Repeat("a", 81): Quote("text/"+strings.Repeat("a", 81), 60),
	} {
		if got := Label(text, "data"); got != want {
			t.Errorf("Label(%q) is %s, want %s", text, got, want)
		}
	}
}
