package cli

import (
	"testing"
	"time"
)

// TestPollEvery checks that a service on another machine is asked less often.
func TestPollEvery(t *testing.T) {
	for _, tt := range []struct {
		key, base string
		want      time.Duration
	}{
		{"", "", 0},
		{"kb_x", "", 2 * time.Second},
		{"", "http://127.0.0.1:7117", 0},
		{"kb_x", "http://localhost:7117", 0},
		{"kb_x", "http://[::1]:7117", 0},
		{"", "https://kubbi.example.com", 2 * time.Second},
	} {
		a := &app{}
		a.cfg.APIKey, a.cfg.BaseURL = tt.key, tt.base
		if got := a.pollEvery(); got != tt.want {
			t.Errorf("key %q, base URL %q: %v, want %v", tt.key, tt.base, got, tt.want)
		}
	}
}

func TestReach(t *testing.T) {
	for base, want := range map[string]string{
		"https://api.kubbi.ai":         "wherever https://api.kubbi.ai can be reached",
		"http://kubbi.lan:7118":        "wherever http://kubbi.lan:7118 can be reached",
		"http://127.0.0.1:7118":        "this machine",
		"https://localhost":            "this machine",
		"https://user:pw@kubbi.x/path": "wherever https://kubbi.x can be reached",
	} {
		if got := (&backend{base: base}).reach(); got != want {
			t.Errorf("%s: %s, want %s", base, got, want)
		}
	}
}
