package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestWaitsLeaveRoomForCalls lets as many calls wait as may, which are more than may work at
// once, over each transport. One more is refused, and a send is still answered at once.
func TestWaitsLeaveRoomForCalls(t *testing.T) {
	wait := func(id int, get string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"get","arguments":%s}}`, id, get)
	}
	const tooMany, sent = "Too many calls wait already", `"claim_url"`
	call := callWith("send", `{"content":"x"}`, ``)
	limits := HTTPLimits{MaxCalls: 4, MaxTotalCalls: 8}

	t.Run("stdio", func(t *testing.T) {
		c, _ := newClient(t)
		p := newPeer(t, Config{Client: c})
		p.handshake(t)
		_, get, _ := sendAndWait(t, c)
		start := time.Now()
		for id := range 4*64 + 1 {
			p.send(t, wait(1000+id, get))
		}
		if answer := string(p.receive(t)); !strings.Contains(answer, tooMany) {
			t.Errorf("one wait too many: %s", answer)
		}
		p.send(t, call)
		if answer := string(p.receive(t)); !strings.Contains(answer, sent) || time.Since(start) > soon {
			t.Errorf("after %v %s", time.Since(start), answer)
		}
	})
	t.Run("http", func(t *testing.T) {
		h := newHost(t, HTTPConfig{Limits: limits})
		session := h.session(t)
		_, get, _ := sendAndWait(t, h.client)
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		defer waiting.Wait()
		defer cancel()
		for id := range 4 * limits.MaxCalls {
			waiting.Go(func() {
				for refused := true; refused; time.Sleep(5 * time.Millisecond) { // until another one waits
					resp, err := h.do(ctx, "POST", "/mcp", session, wait(1000+id, get))
					if err != nil {
						return // at the end of the test
					}
					answer, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					refused = resp.StatusCode == http.StatusTooManyRequests || strings.Contains(string(answer), tooMany)
				}
			})
		}
		// All of them wait, as soon as another may not.
		until(t, func() bool {
			_, answer := h.ask(t, "POST", "/mcp", session, wait(1, strings.Replace(get, ":40", ":1", 1)))
			return strings.Contains(answer, tooMany)
		})
		start := time.Now()
		if _, answer := h.ask(t, "POST", "/mcp", session, call); !strings.Contains(answer, sent) || time.Since(start) > soon {
			t.Errorf("after %v %s", time.Since(start), answer)
		}
	})
	t.Run("sse", func(t *testing.T) {
		h := newHost(t, HTTPConfig{Limits: limits})
		endpoint, stream := h.sse(t.Context(), t)
		_, get, _ := sendAndWait(t, h.client)
		start := time.Now()
		accepted := func(line string) bool { // not while others begin to wait
			status, _ := h.ask(t, "POST", endpoint, "", line)
			return status == http.StatusAccepted
		}
		for id := range 4*limits.MaxCalls + 1 {
			until(t, func() bool { return accepted(wait(1000+id, get)) })
		}
		if answer := next(t, stream); !strings.Contains(answer, tooMany) {
			t.Errorf("one wait too many: %s", answer)
		}
		until(t, func() bool { return accepted(call) })
		if answer := next(t, stream); !strings.Contains(answer, sent) || time.Since(start) > soon {
			t.Errorf("after %v %s", time.Since(start), answer)
		}
	})
}
