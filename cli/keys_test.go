package cli

import (
	"strings"
	"testing"
	"time"

	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

var noon = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

func TestFindKey(t *testing.T) {
	keys := []store.APIKey{
		{Hash: store.Hash{0x0a, 1}, Label: "ci"},
		{Hash: store.Hash{0x0a, 2}, Label: "ci", RevokedAt: noon},
		{Hash: store.Hash{0x0a, 3}, Label: "ci", ExpiresAt: noon},
		{Hash: store.Hash{0x0a, 4}, Label: "twin"},
		{Hash: store.Hash{0x0a, 5}, Label: "twin", ExpiresAt: noon.Add(time.Hour)},
		{Hash: store.Hash{0x0a, 6}, Label: "gone", RevokedAt: noon},
	}
	for name, want := range map[string]string{
		"ci":               "key_0a0100000000", // the one that is valid
		"key_0a0200000000": "key_0a0200000000",
		"twin":             "key_0a0400000000, key_0a0500000000",
		"gone":             "no key has that id, and no valid one that label",
		"key_0a07":         "no key has that id",
		"":                 "no key has that id",
		"kb_x":             "not the key itself",
	} {
		k, err := findKey(keys, name, noon)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = relay.KeyID(k.Hash)
		}
		if !strings.Contains(got, want) || (err == nil) != (got == want) || strings.Contains(got, "kb_x") {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestKeysText(t *testing.T) {
	text := keysText([]store.APIKey{
		{Hash: store.Hash{1}, Label: "plain\x1b", Owner: "o", CreatedAt: noon},
		{Hash: store.Hash{2}, Label: "all", Owner: "o", CreatedAt: noon, ExpiresAt: noon, MaxTTL: 10 * time.Minute, MaxBytes: 100 << 10,
			Rate: 60, Quota: store.Quota{Daily: 1000, Active: 50}},
		{Hash: store.Hash{3}, Label: "gone", Owner: "o", CreatedAt: noon, RevokedAt: noon},
	}, noon)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, words := range [][]string{
		{"ID", "LABEL", "OWNER", "STATE", "LIMITS"},
		{"key_010000000000", `plain\u001b`, "valid"},
		{"key_020000000000", "expired", "ttl 600 s, 100.0 KiB, 60/min, 1000/day, 50 active"},
		{"key_030000000000", "gone", "revoked"},
	} {
		for _, word := range words {
			if i >= len(lines) || !strings.Contains(lines[i], word) {
				t.Errorf("line %d lacks %q:\n%s", i, word, text)
			}
		}
	}
	if len(lines) != 4 {
		t.Errorf("%d lines", len(lines))
	}
}
