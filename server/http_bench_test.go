package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/local"
)

// BenchmarkHTTP calls tools over streamable HTTP from 32 connections, and for comparison
// an echo tool of mcp-go's own server.
func BenchmarkHTTP(b *testing.B) {
	payload := strings.Repeat("x", 1<<10)
	b.Run("echo", func(b *testing.B) {
		m := mcpserver.NewMCPServer("echo", "1")
		m.AddTool(mcp.NewTool("echo", mcp.WithString("content", mcp.Required())), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(r.GetString("content", "")), nil
		})
		srv := httptest.NewServer(mcpserver.NewStreamableHTTPServer(m))
		defer srv.Close()
		benchmarkCalls(b, srv.URL, fmt.Sprintf(`{"name":"echo","arguments":{"content":%q}}`, payload))
	})
	b.Run("inspect", func(b *testing.B) {
		relay, err := local.New(local.Config{Dir: filepath.Join(b.TempDir(), "kubbi"), Origin: "http://127.0.0.1:7999"})
		if err != nil {
			b.Fatal(err)
		}
		defer relay.Close()
		client, err := kubbi.NewClient("", kubbi.WithBaseURL("http://127.0.0.1:7999"), kubbi.WithMiddleware(relay.RoundTripper))
		if err != nil {
			b.Fatal(err)
		}
		sent, err := client.Send(b.Context(), kubbi.SendParams{Content: payload})
		if err != nil {
			b.Fatal(err)
		}
		h, err := NewHTTP(HTTPConfig{Connect: func(context.Context, string, string) (*kubbi.Client, error) { return client.WithAPIKey("") }})
		if err != nil {
			b.Fatal(err)
		}
		srv := httptest.NewServer(h)
		defer srv.Close()
		benchmarkCalls(b, srv.URL+"/mcp", fmt.Sprintf(`{"name":"inspect","arguments":{"claim_url":%q}}`, sent.ClaimURL))
	})
}

func benchmarkCalls(b *testing.B, url, params string) {
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer hc.CloseIdleConnections()
	post := func(session, body string) (*http.Response, error) {
		req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		if session != "" {
			req.Header.Set("Mcp-Session-Id", session)
		}
		return hc.Do(req)
	}
	resp, err := post("", initialize)
	if err != nil {
		b.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	session := resp.Header.Get("Mcp-Session-Id")
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := post(session, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+params+`}`)
			if err != nil {
				b.Error(err)
				return
			}
			out, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || bytes.Contains(out, []byte(`"isError":true`)) {
				b.Errorf("%v, %s: %.300s", err, resp.Status, out)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
