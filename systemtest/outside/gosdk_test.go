package outside

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/tools"
)

// TestGoSDK uses the server as the official Go SDK's client does, over every
// transport and in every protocol version.
func TestGoSDK(t *testing.T) {
	binary := testkit.Program(t)
	for _, transport := range []string{"stdio", "sse", "http"} {
		for _, version := range []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"} {
			t.Run(transport+" "+version, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
				defer cancel()
				client := mcp.NewClient(&mcp.Implementation{Name: "kubbi-mcp-check", Version: "1"}, nil)
				session, err := client.Connect(ctx, overTransport(t, binary, transport), &mcp.ClientSessionOptions{ProtocolVersion: version})
				if err != nil {
					t.Fatalf("connect: %v", err)
				}
				if got := session.InitializeResult().ProtocolVersion; got != version {
					t.Errorf("speaks %s", got)
				}
				(&goClient{t: t, session: session}).useEverything(ctx)
				if err := session.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		}
	}
}

type goClient struct {
	t       *testing.T
	session *mcp.ClientSession
}

// useEverything calls every tool and checks its answer.
func (c *goClient) useEverything(ctx context.Context) {
	t := c.t
	t.Helper()
	list, err := c.session.ListTools(ctx, nil)
	if err != nil {
		t.Fatalf("list tools: %v", err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	if want := []string{"claim", "delete", "get", "inspect", "list", "request", "send", "send_files"}; !slices.Equal(names, want) {
		t.Errorf("tools: %v, want %v", names, want)
	}

	sent := call[struct {
		ID       string `json:"id"`
		ClaimURL string `json:"claim_url"`
	}](ctx, c, "send", map[string]any{"content": map[string]any{"n": 1}, "max_retrievals": 1, "metadata": map[string]any{"from": "Go"}})
	seen := call[struct {
		Type      string `json:"type"`
		Remaining int    `json:"remaining_reads"`
	}](ctx, c, "inspect", map[string]any{"claim_url": sent.ClaimURL})
	if seen.Type != "content" || seen.Remaining != 1 {
		t.Errorf("inspect: %+v", seen)
	}
	got := call[struct {
		ID       string         `json:"id"`
		Status   string         `json:"status"`
		Metadata map[string]any `json:"metadata"`
	}](ctx, c, "get", map[string]any{"id": sent.ID})
	if got.ID != sent.ID || got.Status != "active" || got.Metadata["from"] != "Go" {
		t.Errorf("get: %+v", got)
	}
	claimed, payload := c.claim(ctx, map[string]any{"claim_url": sent.ClaimURL})
	if !claimed.Burned || payload != `{"n":1}` {
		t.Errorf("claim: %+v, %s", claimed, payload)
	}
	if again, err := c.session.CallTool(ctx, &mcp.CallToolParams{Name: "claim", Arguments: map[string]any{"claim_url": sent.ClaimURL}}); err != nil || !again.IsError {
		t.Errorf("second claim: %+v, %v", again, err)
	}

	image := []byte{0x89, 'P', 'N', 'G', 0}
	pack := call[struct {
		ID       string `json:"id"`
		ClaimURL string `json:"claim_url"`
		Count    int    `json:"file_count"`
	}](ctx, c, "send_files", map[string]any{"files": []any{
		map[string]any{"name": "INSTRUCTIONS.md", "role": "instructions", "content_type": "text/markdown", "content": "Look at it."},
		map[string]any{"name": "image.png", "content_type": "image/png", "content": base64.StdEncoding.EncodeToString(image), "encoding": "base64"},
	}})
	if pack.Count != 2 {
		t.Errorf("send_files: %+v", pack)
	}
	if seen, _ := c.claim(ctx, map[string]any{"claim_url": pack.ClaimURL}); seen.Claimed {
		t.Errorf("an image was claimed into an answer: %+v", seen)
	}
	saved, _ := c.claim(ctx, map[string]any{"claim_url": pack.ClaimURL, "save_to": "received"})
	if len(saved.Files) != 2 || saved.Files[1].Name != "image.png" {
		t.Fatalf("claim of the package: %+v", saved)
	}
	if b, err := os.ReadFile(saved.Files[1].Path); err != nil || !bytes.Equal(b, image) {
		t.Errorf("saved %q, %v", b, err)
	}
	all := call[struct {
		Total  int `json:"total"`
		Kubbis []struct {
			ID string `json:"id"`
		} `json:"kubbis"`
	}](ctx, c, "list", map[string]any{})
	if all.Total != 2 || len(all.Kubbis) != 2 {
		t.Errorf("list: %+v", all)
	}
	c.askForSecret(ctx)
	gone := call[struct {
		Status string `json:"status"`
	}](ctx, c, "delete", map[string]any{"id": pack.ID})
	if gone.Status != "deleted" {
		t.Errorf("delete: %+v", gone)
	}
}

// claimed is the manifest of a claim.
type claimed struct {
	Claimed, Burned bool
	Files           []struct{ Name, Path string }
}

func (c *goClient) claim(ctx context.Context, args map[string]any) (claimed, string) {
	c.t.Helper()
	res, err := c.session.CallTool(ctx, &mcp.CallToolParams{Name: "claim", Arguments: args})
	if err != nil || res.IsError || len(res.Content) == 0 {
		c.t.Fatalf("claim: %+v, %v", res, err)
	}
	manifest, payload, _ := tools.ReadClaim(res.Content[0].(*mcp.TextContent).Text)
	var out claimed
	if err := json.Unmarshal(manifest, &out); err != nil {
		c.t.Fatalf("claim: %v: %s", err, manifest)
	}
	return out, payload
}

// call calls a tool, which must succeed, and reads its structured content.
func call[Out any](ctx context.Context, c *goClient, tool string, args map[string]any) Out {
	c.t.Helper()
	var out Out
	res, err := c.session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		c.t.Fatalf("%s: %v", tool, err)
	}
	b, err := json.Marshal(res.StructuredContent)
	if err != nil {
		c.t.Fatalf("%s: %v", tool, err)
	}
	if res.IsError {
		text, _ := json.Marshal(res.Content)
		c.t.Fatalf("%s: %s", tool, text)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		c.t.Fatalf("%s: %v\n%s", tool, err, b)
	}
	return out
}
