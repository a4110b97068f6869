package cli

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\nžluť 🐎":  "plain\ttext\nžluť 🐎",
		"a\x1b]0;owned\x07b":   `a\u001b]0;owned\u0007b`,
		"a\rb":                 `a\u000db`,
		"\u009b31m":            `\u009b31m`,
		"gpj.\u202eexe":        `gpj.\u202eexe`,
		"\x00":                 `\u0000`,
		"no\u00a0break, wide　": "no\u00a0break, wide　",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	if got := printable("\xff"); !utf8.ValidString(got) {
		t.Errorf("printable gives invalid UTF-8: %q", got)
	}
}

// TestEmptyLists checks that a list without entries is [] in JSON, and not null.
func TestEmptyLists(t *testing.T) {
	a := newAsker(t)
	for _, args := range [][]string{{"folders", "list"}, {"folders", "revoke", "--all"}, {"handle"}, {"list"}, {"list", "--status", "active,burned"}} {
		if out, code := a.run(append(args, "--json")...); code != 0 || !strings.Contains(out, "[]") {
			t.Errorf("%q: %d, %s", args, code, out)
		}
	}
}
