package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
	"kubbi-mcp/server"
)

// TestFaultOverHTTP checks that a request fails with our error and under its own id,
// where mcp-go has another error.
func TestFaultOverHTTP(t *testing.T) {
	relay := relaytest.New(t)
	h, err := server.NewHTTP(server.HTTPConfig{
		Connect: func(context.Context, string, string) (*kubbi.Client, error) {
			return kubbi.NewClient("kb_"+strings.Repeat("A", 43), kubbi.WithBaseURL(relay.URL),
				kubbi.WithTransport(relay.Local.RoundTripper(http.DefaultTransport)))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	session := ""
	post := func(body string) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/mcp", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		if session != "" {
			req.Header.Set("Mcp-Session-Id", session)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if session == "" {
			session = resp.Header.Get("Mcp-Session-Id")
		}
		return b
	}
	post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	b := post(`{"jsonrpc":"2.0","id":"sub","method":"resources/subscribe","params":{"uri":"kubbi://01890a5d-ac96-774b-bcce-b302099a8057"}}`)
	var answer struct {
		ID    string `json:"id"`
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if answer.ID != "sub" || answer.Error.Code != -32603 || !strings.Contains(answer.Error.Message, "API key") {
		t.Errorf("subscribe with a wrong key: %s", b)
	}
}
