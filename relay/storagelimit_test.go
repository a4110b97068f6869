package relay_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// TestMaxStorage fills a relay, and creates again after a delete.
func TestMaxStorage(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 1, open, func(c *relay.Config) { c.MaxStorage = 1000 })
		key := tm.key("filler", store.APIKey{})
		body := func(n int) string { return strings.Replace(small, `"x"`, `"`+strings.Repeat("x", n)+`"`, 1) }
		refused := func(n int) {
			t.Helper()
			a := tm.call(0, key, "POST", api.PathKubbis, body(n))
			var e api.ErrorBody
			decode(t, a.body, &e)
			if a.status != http.StatusTooManyRequests || e.Error != api.CodeQuotaExceeded || !strings.Contains(e.Message, "the relay is full") {
				t.Fatalf("a create of %d bytes: %d %s", n, a.status, a.body)
			}
		}
		first := tm.create(0, key, body(600))
		refused(401)
		tm.create(0, key, body(400))
		refused(1)
		if a := tm.call(0, key, "DELETE", api.PathKubbi+first.ID, ""); a.status != http.StatusOK {
			t.Fatalf("delete: %d %s", a.status, a.body)
		}
		tm.clock.Advance(time.Second)
		tm.create(0, key, body(500))
		// The store's figure may be some seconds old by its own clock.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for ctx.Err() == nil {
			tm.clock.Advance(time.Second)
			if tm.call(0, key, "POST", api.PathKubbis, body(101)).status != http.StatusCreated {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		refused(101)
	})
}
