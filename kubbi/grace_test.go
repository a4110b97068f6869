package kubbi

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"kubbi-mcp/kubbi/api"
)

// graceful is a server whose claims have a grace; ends counts the DELETEs.
func graceful(s *seen, end http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.add(r)
		if r.Method == http.MethodDelete {
			end(w, r)
			return
		}
		w.Header().Set(api.HeaderClaimGrace, "60")
		answer(w, 200, okClaim)
	}
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// A claim whose answer has a grace ends it, with the claim's own key, when the payload is
// there. The caller does not wait for that; Close does.
func TestClaimEndsGrace(t *testing.T) {
	var s seen
	block := make(chan struct{})
	var ended atomic.Bool
	c, _ := serve(t, graceful(&s, func(w http.ResponseWriter, r *http.Request) {
		<-block
		ended.Store(true)
		noContent(w, r)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := c.Claim(ctx, testToken, looked()); err != nil {
		t.Fatal(err)
	}
	cancel() // the caller's end is not the grace's
	if ended.Load() {
		t.Error("the claim waited for the grace's end")
	}
	close(block)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if !ended.Load() {
		t.Fatal("Close did not wait for the grace's end")
	}
	reqs := s.all()
	if len(reqs) != 2 || reqs[1].method != http.MethodDelete || reqs[1].path != "/r/"+testToken+"/claim" ||
		reqs[1].header.Get(api.HeaderIdempotencyKey) != reqs[0].header.Get(api.HeaderIdempotencyKey) || reqs[1].header.Get(api.HeaderIdempotencyKey) == "" {
		t.Errorf("requests are %+v", reqs)
	}
}

// The client tries once to end a grace, and ignores a failure. (net/http itself tries again
// on a kept connection that turns out to be closed.)
func TestClaimGraceEndFails(t *testing.T) {
	for name, f := range failures() {
		var s seen
		c, _ := serve(t, graceful(&s, f))
		if _, err := c.Claim(context.Background(), testToken, looked()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(s.all()); n != 2 && (n != 3 || name != "no answer") {
			t.Errorf("%s: %d requests, want 2", name, n)
		}
	}
}

// The grace is not ended without a whole payload: the next attempt needs it.
func TestClaimKeepsGraceUntilDecoded(t *testing.T) {
	for name, body := range map[string]string{
		"cut":        "{\"content\":",
		"incomplete": "{}",
		"not JSON":   "<html>",
	} {
		var s seen
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			s.add(r)
			w.Header().Set(api.HeaderClaimGrace, "60")
			w.Write([]byte(body))
		})
		if _, err := c.Claim(context.Background(), testToken, looked()); err == nil {
			t.Errorf("%s: no error", name)
		}
		c.Close()
		for _, r := range s.all() {
			if r.method == http.MethodDelete {
				t.Errorf("%s: the grace was ended", name)
			}
		}
	}
}

func TestHoldGrace(t *testing.T) {
	var s seen
	status := 204
	c, _ := serve(t, graceful(&s, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	got, err := c.Claim(context.Background(), testToken, looked(), HoldGrace())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if len(s.all()) != 1 || got.Grace.Seconds() != 60 {
		t.Errorf("%d requests, grace %v; want 1, 60 s", len(s.all()), got.Grace)
	}
	if err := got.Release(context.Background()); err != nil {
		t.Error(err)
	}
	if reqs := s.all(); len(reqs) != 2 || reqs[1].method != http.MethodDelete || reqs[1].header.Get(api.HeaderIdempotencyKey) != reqs[0].header.Get(api.HeaderIdempotencyKey) {
		t.Errorf("requests are %+v", reqs)
	}
	status = 500
	if err := got.Release(context.Background()); asError(t, err).Status != 500 {
		t.Errorf("a release that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := got.Release(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a release that is cancelled: %v", err)
	}
}

// A server without graces is not asked to end one.
func TestNoGrace(t *testing.T) {
	for _, header := range []string{"", "0", "-1", "x", "9999999999"} {
		var s seen
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			s.add(r)
			w.Header().Set(api.HeaderClaimGrace, header)
			answer(w, 200, okClaim)
		})
		got, err := c.Claim(context.Background(), testToken, looked())
		if err != nil {
			t.Fatal(err)
		}
		held, err := c.Claim(context.Background(), testToken, looked(), HoldGrace())
		if err != nil {
			t.Fatal(err)
		}
		for _, cl := range []*Claimed{got, held, {}} {
			if err := cl.Release(context.Background()); err != nil || cl.Grace != 0 {
				t.Errorf("grace %q: release %v, grace %v", header, err, cl.Grace)
			}
		}
		c.Close()
		if n := len(s.all()); n != 2 {
			t.Errorf("grace %q: %d requests, want 2", header, n)
		}
	}
}

// The number of graces that are being ended at once is bounded. A claim beyond it does not
// wait.
func TestGraceEndsAreBounded(t *testing.T) {
	var s seen
	block := make(chan struct{})
	c, _ := serve(t, graceful(&s, func(w http.ResponseWriter, r *http.Request) {
		<-block
		noContent(w, r)
	}))
	for range maxReleases + 10 {
		if _, err := c.Claim(context.Background(), testToken, looked()); err != nil {
			t.Fatal(err)
		}
	}
	close(block)
	c.Close()
	ends := 0
	for _, r := range s.all() {
		if r.method == http.MethodDelete {
			ends++
		}
	}
	if ends != maxReleases {
		t.Errorf("%d graces were ended, want %d", ends, maxReleases)
	}
}
