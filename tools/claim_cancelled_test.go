package tools

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kubbi-mcp/kubbi"
)

// TestCancelledClaimSaysItMayHaveCounted cancels a claim that the service has received, as
// a server does that shuts down. The answer must say that it may have counted.
func TestCancelledClaimSaysItMayHaveCounted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel() // the request has arrived
		<-r.Context().Done()
	}))
	defer srv.Close()
	c, err := kubbi.NewClient("", kubbi.WithBaseURL(srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Claim(ctx, strings.Repeat("t", 43), kubbi.WithInspected(&kubbi.Inspected{}))
	if err == nil {
		t.Fatal("the claim succeeded")
	}
	if text := ErrorText("claim", err); !strings.Contains(text, "may have counted") {
		t.Errorf("a cancelled claim says only: %s", text)
	}
}
