package outside

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"kubbi-mcp/internal/testkit"
)

// asked is the result of request.
type asked struct {
	RequestID  string `json:"request_id"`
	RequestURL string `json:"request_url"`
	Status     string `json:"status"`
	Next       string `json:"next"`
}

// askForSecret asks for a secret, has it answered and waits for the answer. The client shows
// no pages, so the URL is for the model to show.
func (c *goClient) askForSecret(ctx context.Context) {
	t := c.t
	t.Helper()
	got := call[asked](ctx, c, "request", map[string]any{"message": "for the tests", "fields": []string{"TOKEN"}})
	if got.Status != "pending" || !strings.HasPrefix(got.Next, "Show request_url to") {
		t.Fatalf("request: %+v", got)
	}
	var person sync.WaitGroup
	defer person.Wait()
	person.Go(func() { testkit.Answer(t, got.RequestURL, secretValue) }) // while the client waits
	c.awaitAnswer(ctx, got.RequestID)
}

const secretValue = "canary-4711-from-a-person"

// awaitAnswer waits for an answer, which is not shown.
func (c *goClient) awaitAnswer(ctx context.Context, id string) {
	c.t.Helper()
	after := call[asked](ctx, c, "get", map[string]any{"id": id, "wait_seconds": 30})
	if after.Status != "answered" {
		c.t.Errorf("get: %+v", after)
	}
	res, err := c.session.CallTool(ctx, &mcp.CallToolParams{Name: "claim", Arguments: map[string]any{"claim_url": id}})
	if err != nil || !res.IsError || strings.Contains(res.Content[0].(*mcp.TextContent).Text, secretValue) {
		c.t.Errorf("claim: %+v, %v", res, err)
	}
}

// TestGoSDKShowsPage has the SDK's client show the page of a request, on which its user
// answers at once.
func TestGoSDKShowsPage(t *testing.T) {
	binary := testkit.Program(t)
	for _, version := range []string{"2025-11-25", "2026-07-28"} {
		for _, transport := range []string{"stdio", "http"} {
			t.Run(transport+" "+version, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
				defer cancel()
				shown, completed := make(chan *mcp.ElicitParams, 1), make(chan string, 1)
				client := mcp.NewClient(&mcp.Implementation{Name: "kubbi-mcp-check", Version: "1"}, &mcp.ClientOptions{
					Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}}},
					ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
						shown <- req.Params
						testkit.Answer(t, req.Params.URL, secretValue)
						return &mcp.ElicitResult{Action: "accept"}, nil
					},
					ElicitationCompleteHandler: func(_ context.Context, req *mcp.ElicitationCompleteNotificationRequest) {
						completed <- req.Params.ElicitationID
					},
				})
				session, err := client.Connect(ctx, overTransport(t, binary, transport), &mcp.ClientSessionOptions{ProtocolVersion: version})
				if err != nil {
					t.Fatal(err)
				}
				c := &goClient{t: t, session: session}
				got := call[asked](ctx, c, "request", map[string]any{"message": "for the tests", "fields": []string{"TOKEN"}})
				page := testkit.Receive(t, shown, "page")
				if page.Mode != "url" || page.URL != got.RequestURL || got.Status != "answered" || !strings.HasPrefix(got.Next, "It is answered. ") {
					t.Errorf("request: %+v, %+v", page, got)
				}
				c.awaitAnswer(ctx, got.RequestID)
				if version == "2025-11-25" {
					if id := testkit.Receive(t, completed, "notification that the elicitation is complete"); id != page.ElicitationID || id == "" {
						t.Errorf("complete is %q, and the page was %q", id, page.ElicitationID)
					}
				}
				if err := session.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		}
	}
}

func overTransport(t *testing.T, binary, name string) mcp.Transport {
	t.Helper()
	switch name {
	case "stdio":
		cmd := exec.Command(binary, "serve")
		cmd.Env = append(os.Environ(), ownStore(t)...)
		return &mcp.CommandTransport{Command: cmd}
	case "sse":
		return &mcp.SSEClientTransport{Endpoint: serveHTTP(t, binary) + "/sse"}
	default:
		return &mcp.StreamableClientTransport{Endpoint: serveHTTP(t, binary) + "/mcp"}
	}
}
