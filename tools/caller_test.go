package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

// caller calls tools as a server does.
type caller struct {
	s   *mcpserver.MCPServer
	log bytes.Buffer

	outcome string // of the last call
}

// newCaller is a caller without files and without a data directory.
func newCaller(t *testing.T, key, base string, opts ...kubbi.Option) *caller {
	t.Helper()
	c := &caller{}
	c.register(t, Config{Client: newClient(t, key, base, opts...)})
	return c
}

// saver is a caller who may save into dir, also into the server's own folder. deliver is that
// of Config.
func saver(t *testing.T, base, state, dir, who string, deliver func(context.Context, func(bool))) *caller {
	t.Helper()
	c, cfg := newSaver(t, base, state, dir, who)
	cfg.Received, cfg.Deliver = true, deliver
	c.register(t, cfg)
	return c
}

// newSaver is a caller who may save into dir, before it is registered.
func newSaver(t *testing.T, base, state, dir, who string) (*caller, Config) {
	t.Helper()
	folder, err := files.NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, client := &caller{}, newClient(t, "", base)
	claimer := claims.New(client, claims.NewState(state), who, c.logger())
	t.Cleanup(claimer.Close)
	return c, Config{Client: client, Claims: claimer, Files: files.Rules{Folders: []files.Folder{folder}}}
}

// register adds the tools. The caller sees what they log and how calls end.
func (c *caller) register(t *testing.T, cfg Config) {
	t.Helper()
	cfg.Logger = c.logger()
	cfg.Observe = func(_ context.Context, call Call) { c.outcome = call.Outcome }
	c.s = mcpserver.NewMCPServer("test", "1")
	if err := Register(c.s, cfg); err != nil {
		t.Fatal(err)
	}
}

func (c *caller) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (c *caller) call(t *testing.T, tool, args string) *mcp.CallToolResult {
	t.Helper()
	r := c.s.HandleMessage(t.Context(), fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, args))
	resp, ok := r.(mcp.JSONRPCResponse)
	if !ok {
		t.Fatalf("%s: %+v", tool, r)
	}
	return resp.Result.(*mcp.CallToolResult)
}

const (
	anyToken = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	byToken  = `{"claim_url":"` + anyToken + `"}`
	byID     = `{"id":"00000000-0000-4000-8000-000000000000"}`
)

// newClient is a client that makes one attempt.
func newClient(t *testing.T, key, base string, opts ...kubbi.Option) *kubbi.Client {
	t.Helper()
	client, err := kubbi.NewClient(key, append(opts, kubbi.WithBaseURL(base), kubbi.WithRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// newSender gives a client of a new relay, and the relay.
func newSender(t *testing.T) (*kubbi.Client, *relaytest.Server) {
	t.Helper()
	relay := relaytest.New(t)
	return newClient(t, relay.APIKey, relay.URL), relay
}

// relayClient gives a client of a new relay.
func relayClient(t *testing.T) *kubbi.Client {
	t.Helper()
	client, _ := newSender(t)
	return client
}

// textOf is the text of a result's first block, as a client sees it.
func textOf(t *testing.T, res *mcp.CallToolResult) string {
	t.Helper()
	b, err := AppendResult(nil, res)
	if err != nil {
		t.Fatal(err)
	}
	var seen struct{ Content []struct{ Text string } }
	if err := json.Unmarshal(b, &seen); err != nil || len(seen.Content) == 0 {
		t.Fatalf("%v: %s", err, b)
	}
	return seen.Content[0].Text
}

// payloadOf is what stands between the marker lines of a claim's result.
func payloadOf(t *testing.T, res *mcp.CallToolResult) string {
	t.Helper()
	_, payload, shown := ReadClaim(textOf(t, res))
	if !shown {
		t.Fatalf("no payload in %.700s", textOf(t, res))
	}
	return payload
}

// manifestOfResult reads the manifest in a claim's result.
func manifestOfResult(t *testing.T, res *mcp.CallToolResult) (out claimManifest) {
	t.Helper()
	manifest, _, _ := ReadClaim(textOf(t, res))
	var m struct {
		Claimed bool
		Files   []struct{ Name, Path, SHA256 string }
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		t.Fatalf("%v: %+v", err, res)
	}
	out.Claimed = m.Claimed
	for _, f := range m.Files {
		out.Files = append(out.Files, claimedFile{Name: f.Name, Path: f.Path, SHA256: f.SHA256})
	}
	return out
}
