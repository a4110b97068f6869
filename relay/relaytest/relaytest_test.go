package relaytest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/relay/relaytest"
)

// TestNew makes a kubbi over HTTP and lets it expire by the clock.
func TestNew(t *testing.T) {
	s := relaytest.New(t)
	req, err := http.NewRequest("POST", s.URL+"/api/v1/kubbis", strings.NewReader(`{"content":"x","content_type":"text/plain","ttl_seconds":60}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.APIKey)
	status := func(req *http.Request) (int, string) {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b strings.Builder
		if err := resp.Write(&b); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b.String()
	}
	code, text := status(req)
	if code != http.StatusCreated {
		t.Fatal(text)
	}
	_, url, _ := strings.Cut(text, `"claim_url":"`)
	url, _, _ = strings.Cut(url, `"`)
	get := func() int {
		req, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		code, _ := status(req)
		return code
	}
	if code := get(); code != 200 {
		t.Errorf("inspect: %d", code)
	}
	s.Clock.Advance(time.Minute)
	if code := get(); code != http.StatusGone {
		t.Errorf("inspect after the TTL: %d", code)
	}
	s.Sweep(t)
	if code := get(); code != http.StatusGone {
		t.Errorf("inspect after a sweep: %d", code)
	}
}

func TestClock(t *testing.T) {
	start := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	c := relaytest.StoppedAt(start)
	c.Advance(time.Hour)
	if got := c.Now(); !got.Equal(start.Add(time.Hour)) {
		t.Errorf("stopped clock says %v", got)
	}
	running := &relaytest.Clock{}
	running.Advance(time.Hour)
	if d := time.Until(running.Now()); d < 59*time.Minute || d > time.Hour {
		t.Errorf("running clock is %v ahead", d)
	}
}
