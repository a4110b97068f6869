package api

import "testing"

// TestWebhookSecret checks a vector that Python's hmac has made, by RFC 5869.
func TestWebhookSecret(t *testing.T) {
	got, err := WebhookSecret("kb_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	if want := "whsec_iXcL86KaDR192aFymp4BiStJr72DT0o3kw8wZkDxNpc="; err != nil || got != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}
