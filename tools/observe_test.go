package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/args"
)

// TestObserve checks that every call is reported once, with its outcome and the tool's name
// without prefix.
func TestObserve(t *testing.T) {
	var seen []Call
	s := mcpserver.NewMCPServer("test", "0")
	if err := Register(s, Config{Client: relayClient(t), Prefix: "kubbi_", Observe: func(_ context.Context, c Call) { seen = append(seen, c) }}); err != nil {
		t.Fatal(err)
	}
	call := func(ctx context.Context, tool, args string) *mcp.CallToolResult {
		var req mcp.CallToolRequest
		req.Params.Arguments = json.RawMessage(args)
		res, err := s.GetTool("kubbi_"+tool).Handler(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	sent := call(t.Context(), "send", `{"content":"x","max_retrievals":1}`)
	var out struct {
		ClaimURL string `json:"claim_url"`
	}
	if err := json.Unmarshal(sent.RawStructuredContent, &out); err != nil {
		t.Fatal(err)
	}
	byURL := fmt.Sprintf(`{"claim_url":%q}`, out.ClaimURL)
	call(t.Context(), "claim", byURL)
	call(t.Context(), "claim", byURL)
	call(t.Context(), "claim", `{"claim_uri":"x"}`)
	call(t.Context(), "claim", `{"claim_url":"https://elsewhere.example/r/`+strings.Repeat("a", 43)+`"}`)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	call(ended, "list", `{}`)
	want := []Call{
		{Tool: "send", Outcome: "ok"},
		{Tool: "claim", Outcome: "ok"},
		{Tool: "claim", Outcome: "gone"},
		{Tool: "claim", Outcome: "bad_arguments"},
		{Tool: "claim", Outcome: "origin_refused"},
		{Tool: "list", Outcome: "cancelled"},
	}
	if diff := cmp.Diff(want, seen, cmpopts.IgnoreFields(Call{}, "Took", "AnswerBytes")); diff != "" {
		t.Error(diff)
	}
	for _, c := range seen {
		if c.Took < 0 || c.AnswerBytes <= 0 { // 0: a coarse clock
			t.Errorf("got %+v", c)
		}
	}
}

// TestPanicIsObserved checks that a call that panics is reported too.
func TestPanicIsObserved(t *testing.T) {
	var seen []Call
	cfg := Config{Observe: func(_ context.Context, c Call) { seen = append(seen, c) }}
	d := define(&toolset{Config: cfg}, "list", "", "", hints{}, func(context.Context, invocation, listInput) (*mcp.CallToolResult, error) {
		panic("x")
	})
	func() {
		defer func() { _ = recover() }()
		_, _ = d.handle(t.Context(), mcp.CallToolRequest{})
	}()
	if len(seen) != 1 || seen[0].Outcome != OutcomeInternal {
		t.Errorf("got %+v", seen)
	}
}

func TestOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a code":         {&kubbi.Error{Code: api.CodeExpired}, "expired"},
		"no known code":  {&kubbi.Error{Status: 500, Code: "what_the_caller_sent"}, OutcomeService},
		"no code":        {&kubbi.Error{Status: 502}, OutcomeService},
		"out of time":    {context.DeadlineExceeded, OutcomeTimeout},
		"anything else":  {errors.New("x"), OutcomeInternal},
		"wrong argument": {args.Error("x"), OutcomeBadArguments},
	} {
		if got := outcome(c.err); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
