package relaytest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
)

// A test of what happens when a kubbi expires, without waiting for it. In a test t is the
// test's own.
func Example() {
	t := new(exampleT)
	defer t.end()

	relay := relaytest.New(t)
	client, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL))
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer client.Close()
	sent, err := client.Send(t.Context(), kubbi.SendParams{Content: "for an hour", TTL: time.Hour})
	if err != nil {
		t.Fatalf("%v", err)
	}

	relay.Clock.Advance(2 * time.Hour)
	_, err = client.Claim(t.Context(), sent.ClaimURL)
	fmt.Println("expired:", errors.Is(err, kubbi.ErrExpired))
	// Output:
	// expired: true
}

// exampleT stands for a *testing.T, which an example does not have.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                   {}
func (t *exampleT) Context() context.Context  { return context.Background() }
func (t *exampleT) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Fatalf(f string, a ...any) { log.Fatalf(f, a...) }
func (t *exampleT) Errorf(f string, a ...any) { log.Fatalf(f, a...) }

func (t *exampleT) TempDir() string {
	dir, err := os.MkdirTemp("", "relaytest")
	if err != nil {
		log.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (t *exampleT) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}
