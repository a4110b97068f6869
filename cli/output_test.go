package cli

import (
	"strings"
	"testing"
	"time"
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

func TestSeconds(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"60": time.Minute, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "24h": 24 * time.Hour, " 5 ": 5 * time.Second,
		"1d": 24 * time.Hour, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour, "12h": 12 * time.Hour, "90m": 90 * time.Minute, "3600": time.Hour,
	} {
		var s seconds
		if err := s.UnmarshalText([]byte(in)); err != nil || s.duration() != want || s.int() != int(want/time.Second) {
			t.Errorf("%q: %v, %v", in, s.duration(), err)
		}
	}
	for _, in := range []string{"", "0", "-1", "1.5", "1500ms", "10 m", "9223372036854775807", "300000h", "1e3", "ten", "d", "1d1", "1 d", "1.5d", "1d24h", "1d-1h", "1h1d", "-1d", "367d", "99999d"} {
		var s seconds
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is taken as %v", in, s.duration())
		}
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
