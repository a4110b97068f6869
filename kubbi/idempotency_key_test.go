package kubbi_test

import (
	"errors"
	"testing"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
)

// TestClaimAgainUnderItsKey claims a payload that burns, and claims it again under the same
// key, as after a lost answer.
func TestClaimAgainUnderItsKey(t *testing.T) {
	relay := relaytest.New(t)
	c, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent, err := c.Send(t.Context(), kubbi.SendParams{Content: "once", MaxRetrievals: 1})
	if err != nil {
		t.Fatal(err)
	}
	key := kubbi.NewIdempotencyKey()
	var got *kubbi.Claimed
	for range 2 {
		if got, err = c.Claim(t.Context(), sent.ClaimURL, kubbi.WithIdempotencyKey(key), kubbi.HoldGrace()); err != nil {
			t.Fatal(err)
		}
		if got.Text() != "once" || !got.Burned || got.Grace <= 0 {
			t.Errorf("%q, burned %v, grace %v", got.Text(), got.Burned, got.Grace)
		}
	}
	if _, err := c.Claim(t.Context(), sent.ClaimURL); !errors.Is(err, kubbi.ErrGone) {
		t.Errorf("under another key: %v", err)
	}
	got.ReleaseSoon(t.Context())
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Claim(t.Context(), sent.ClaimURL, kubbi.WithIdempotencyKey(key)); !errors.Is(err, kubbi.ErrGone) {
		t.Errorf("after the grace: %v", err)
	}
	k, err := c.Get(t.Context(), sent.ID)
	if err != nil || k.RetrievalCount != 1 {
		t.Errorf("%+v, %v", k, err)
	}
}
