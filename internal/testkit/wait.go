package testkit

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"
)

// Patience is how long a test waits for another process before it fails. It is long:
// a machine under load must not fail a test.
const Patience = 2 * time.Minute

// Await waits until a condition holds.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("still waiting for %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Receive gives the next value of a channel.
func Receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatalf("%s: nothing happened", what)
		panic("unreachable")
	}
}

// WaitHealthy waits until a URL answers with status 200.
func WaitHealthy(ctx context.Context, t testing.TB, url string) {
	t.Helper()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no answer from %s: %v", url, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
