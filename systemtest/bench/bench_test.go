//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// TestShortRun runs a few parts, and looks for their rows in the page, which
// keeps what stands around the table.
func TestShortRun(t *testing.T) {
	testkit.OnlyPlain(t, "the programs are built without the race detector")
	if !testkit.CI() {
		t.Skip("it builds the release binary, which .ci/run has anyway")
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("above\n"+tableBegin+"\nold\n"+tableEnd+"\nbelow\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := suite{rounds: 1, million: 20_000, jsonv2: true}
	if err := s.run("disk,pairs,stdio", "", "", page); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.HasPrefix(text, "above\n"+tableBegin+"\ngo") || !strings.HasSuffix(text, "|\n"+tableEnd+"\nbelow\n") || strings.Contains(text, "old") {
		t.Errorf("the page is\n%s", text)
	}
	for _, row := range []string{
		"| disk: write 8 KB over",
		"| relay on SQLite, 1 KB: durable pairs, 16 connections | bare net/http: ",
		"| relay on PostgreSQL, 100 KB: processor time of a claim |",
		"| stdio: send 1 KB, durable | mcp-go, echo of 1 KB: ",
	} {
		if !strings.Contains(text, "\n"+row) {
			t.Errorf("there is no row %q in\n%s", row, text)
		}
	}
	if all := descendants([]int{os.Getpid()}); len(all) > 1 {
		t.Errorf("processes %v still run", all[1:])
	}
}

func TestRatioIsOfRounds(t *testing.T) {
	if got, want := ratio(series{1, 9, 4}, series{2, 3, 4}), "**1.00** (0.50–3.00)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOrderChanges(t *testing.T) {
	var got []string
	for round := range 4 {
		var names string
		for _, i := range order(3, round) {
			names += string("abc"[i])
		}
		got = append(got, names)
	}
	if s := strings.Join(got, " "); s != "abc acb cab cba" {
		t.Errorf("got %s", s)
	}
}

func TestPageNamesAllParts(t *testing.T) {
	b, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{partNames(), tableBegin, tableEnd} {
		if !strings.Contains(string(b), want) {
			t.Errorf("docs/performance.md does not hold %q", want)
		}
	}
}
