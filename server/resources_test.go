package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
)

// listed is an answer to resources/list.
type listed struct {
	Error  *struct{ Code int }
	Result struct {
		Resources  []struct{ URI, Name, Title string }
		NextCursor string
	}
}

// TestResourcePages reads the list while it grows: the pages are those of the list's
// beginning, after the resources that Config.Add has added.
func TestResourcePages(t *testing.T) {
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c, Add: func(s *mcpserver.MCPServer) error {
		s.AddResource(mcp.NewResource("test://x", "x"), func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{mcp.TextResourceContents{URI: "test://x", Text: "others'"}}, nil
		})
		return nil
	}})
	p.handshake(t)
	list := func(cursor string) listed {
		t.Helper()
		p.send(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"resources/list","params":{"cursor":%q}}`, cursor))
		var l listed
		if err := json.Unmarshal(p.receive(t), &l); err != nil || l.Error != nil {
			t.Fatalf("%v %+v", err, l)
		}
		return l
	}
	want := []string{"test://x"}
	for range 230 {
		want = slices.Insert(want, 1, kubbiScheme+send(t, c, 0).ID)
	}
	var got []string
	var sizes []int
	for cursor, more := "", true; more; {
		l := list(cursor)
		sizes = append(sizes, len(l.Result.Resources))
		for _, r := range l.Result.Resources {
			got = append(got, r.URI)
		}
		cursor = l.Result.NextCursor
		more = cursor != ""
		send(t, c, 0)
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %d resources, want %d, or in another order", len(got), len(want))
	}
	if !slices.Equal(sizes, []int{101, 100, 30}) {
		t.Errorf("pages of %v", sizes)
	}
	p.send(t, `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"test://x"}}`)
	if got := string(p.receive(t)); !strings.Contains(got, "others'") {
		t.Errorf("read %s", got)
	}
	p.send(t, `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"test://x"}}`)
	if got := string(p.receive(t)); got != `{"jsonrpc":"2.0","id":1,"result":{}}`+"\n" {
		t.Errorf("subscribed: %s", got)
	}
	p.hangUp(t)
}

// TestResourcesOverEachTransport checks the errors on each transport. A failure is never an empty
// list.
func TestResourcesOverEachTransport(t *testing.T) {
	overEach(t, func(t *testing.T, c *client) {
		k := send(t, c.kubbi, 1)
		for _, tt := range []struct{ method, params, want string }{
			{"list", `{}`, `"uri":"kubbi://` + k.ID + `"`},
			{"list", `{"cursor":"!"}`, `"code":-32602`},
			{"list", `{"cursor":"MQ"}`, `"code":-32602`},
			{"templates/list", `{}`, `"uriTemplate":"kubbi://{id}"`},
			{"read", `{"uri":"kubbi://` + k.ID + `"}`, `\"status\":\"active\"`},
			{"read", `{"uri":"kubbi://00000000-0000-4000-8000-000000000000"}`, `"code":-32002`},
			{"read", `{"uri":"kubbi://` + k.ClaimURL + `"}`, `"code":-32002`},
		} {
			notes, answer := c.ask(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"resources/%s","params":%s}`, tt.method, tt.params))
			if !strings.Contains(answer, tt.want) || notes != nil {
				t.Errorf("%s %s: %v %s", tt.method, tt.params, notes, answer)
			}
			if strings.Contains(answer, k.ClaimToken) {
				t.Errorf("%s %s: holds the claim token", tt.method, tt.params)
			}
		}
	})
}

// TestResourcesWithoutTheService checks the errors over HTTP when the relay is down.
func TestResourcesWithoutTheService(t *testing.T) {
	h, err := NewHTTP(HTTPConfig{Connect: func(context.Context, string, string) (*kubbi.Client, error) {
		return kubbi.NewClient("", kubbi.WithBaseURL(unusedOrigin(t)), kubbi.WithRetries(0))
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.callers.close(); err != nil {
			t.Error(err)
		}
	})
	ask := func(session, body string) *recorder {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "localhost"
		req.Header.Set("Content-Type", "application/json")
		if session != "" {
			req.Header.Set("Mcp-Session-Id", session)
		}
		rec := &recorder{header: http.Header{}}
		h.ServeHTTP(rec, req)
		return rec
	}
	session := ask("", initialize).header.Get("Mcp-Session-Id")
	if got := ask(session, `{"jsonrpc":"2.0","id":1,"method":"resources/list"}`).body.String(); !strings.Contains(got, `"error"`) || !strings.Contains(got, "could not be reached") {
		t.Errorf("list: %s", got)
	}
}

// TestCursor checks that only cursors of our own are read.
func TestCursor(t *testing.T) {
	for _, anchor := range []string{"", "123", "a b"} {
		if page, got, ok := parseCursor(formatCursor(7, anchor)); page != 7 || got != anchor || !ok {
			t.Errorf("%q: %d %q %v", anchor, page, got, ok)
		}
	}
	for _, c := range []mcp.Cursor{"!", "MQ", "MQ==", formatCursor(1, ""), formatCursor(-1, ""), mcp.Cursor(strings.Repeat("A", 1000)), formatCursor(2, strings.Repeat("1", maxCursor))} {
		if _, _, ok := parseCursor(c); ok {
			t.Errorf("%.50q is taken", c)
		}
	}
}
