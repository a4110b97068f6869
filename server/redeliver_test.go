package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
)

// TestClaimWithLostAnswer claims a payload that burns, and disconnects before the
// answer is there. The same caller can claim it again, nobody else can.
func TestClaimWithLostAnswer(t *testing.T) {
	s := newHost(t, HTTPConfig{Server: Config{MaxInline: 64 << 20}})
	payload := strings.Repeat("0123456789abcdef", 9<<16) // more than any buffer on the way
	sent, err := s.client.Send(t.Context(), kubbi.SendParams{Content: payload, MaxRetrievals: 1})
	if err != nil {
		t.Fatal(err)
	}
	args := fmt.Sprintf(`{"claim_url":%q}`, sent.ClaimURL)

	for name, breakOff := range map[string]func(ctx context.Context){
		"streamable HTTP": func(ctx context.Context) {
			resp := s.open(ctx, t, http.MethodPost, "/mcp", s.session(t), callOf(1, "claim", args))
			head := make([]byte, 100)
			if _, err := resp.Body.Read(head); err != nil {
				t.Error(err)
			}
		},
		"streamable HTTP, by way of mcp-go": func(ctx context.Context) {
			body := strings.Replace(callOf(1, "claim", args), `"name"`, `"_meta":{"progressToken":1},"name"`, 1)
			resp := s.open(ctx, t, http.MethodPost, "/mcp", s.session(t), body)
			head := make([]byte, 100) // of the first progress notification
			if _, err := resp.Body.Read(head); err != nil || !strings.Contains(string(head), "notifications/progress") {
				t.Errorf("%s, %v", head, err)
			}
		},
		"SSE": func(ctx context.Context) {
			endpoint, _ := s.sse(ctx, t)
			s.post(t, endpoint, "", callOf(1, "claim", args))
			s.burned(t, sent.ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			breakOff(ctx)
			s.burned(t, sent.ID)
			cancel()
			for s.running() > 0 { // the server has noticed
				time.Sleep(time.Millisecond)
			}
		})
	}
	if _, err := s.client.Claim(t.Context(), sent.ClaimURL); err == nil {
		t.Error("somebody else has claimed it")
	}

	session := s.session(t)
	_, answer := s.ask(t, http.MethodPost, "/mcp", session, callOf(1, "claim", args))
	if got := parseResult(t, []byte(answer)); got.payload(t) != payload {
		t.Fatalf("claimed again: %.500s", answer)
	}
	if k, err := s.client.Get(t.Context(), sent.ID); err != nil || k.RetrievalCount != 1 {
		t.Errorf("%+v, %v", k, err)
	}
	// The caller has made another call, so it is gone for this caller too.
	s.ask(t, http.MethodPost, "/mcp", session, callOf(1, "list", `{}`))
	for s.running() > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := s.onlyCaller(t).client.Close(); err != nil { // waits until the grace has ended
		t.Fatal(err)
	}
	_, answer = s.ask(t, http.MethodPost, "/mcp", s.session(t), callOf(1, "claim", args))
	if !strings.Contains(answer, `"isError":true`) {
		t.Errorf("claimed after it was delivered: %.300s", answer)
	}
}

// burned waits until a kubbi is burned.
func (s *host) burned(t *testing.T, id string) {
	t.Helper()
	for {
		k, err := s.client.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if k.Status == "burned" {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
