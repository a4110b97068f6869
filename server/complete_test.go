package server

import (
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
)

// TestCompletionIsLimited completes an id that more kubbis match than an answer may have.
func TestCompletionIsLimited(t *testing.T) {
	c, _ := newClient(t)
	const n = maxCompletions + 30
	var sent []*kubbi.Sent // newest first
	for range n {
		sent = append([]*kubbi.Sent{send(t, c, 0)}, sent...)
	}
	complete := func(prefix string) *mcp.Completion {
		t.Helper()
		got, err := completer{c}.CompleteResourceArgument(t.Context(), kubbiTemplate, mcp.CompleteArgument{Name: "id", Value: prefix}, mcp.CompleteContext{})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	all := complete("")
	if len(all.Values) != maxCompletions || all.Total != n || !all.HasMore {
		t.Fatalf("%d of %d, more: %v", len(all.Values), all.Total, all.HasMore)
	}
	for i, id := range all.Values {
		if id != sent[i].ID {
			t.Fatalf("at %d: %s, want %s", i, id, sent[i].ID)
		}
	}
	oldest := sent[n-1].ID // on the second page
	if got := complete(oldest[:35]); len(got.Values) == 0 || got.Values[len(got.Values)-1] != oldest || got.HasMore || got.Total != len(got.Values) {
		t.Errorf("the oldest: %+v", got)
	}
	if got := complete("x"); len(got.Values) != 0 || got.HasMore {
		t.Errorf("nothing: %+v", got)
	}
}
