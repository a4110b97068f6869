package cluster

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store/sqlite"
	"kubbi-mcp/relay/webhook"
)

// TestReceiptOutlivesKill kills a relay with -9 while a receiver has a receipt and has
// not answered. Another relay, whose clock is after the end of the lease, delivers the
// receipt again, with the same id and body.
func TestReceiptOutlivesKill(t *testing.T) {
	type post struct{ id, body string }
	posts, hold := make(chan post, 10), make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		posts <- post{r.Header.Get("webhook-id"), string(b)}
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}))
	defer receiver.Close()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	next := func() post {
		t.Helper()
		select {
		case p := <-posts:
			return p
		case <-ctx.Done():
			t.Fatal("no receipt")
			return post{}
		}
	}

	dir := t.TempDir()
	c := startCluster(t, "KUBBI_RELAY_NOTIFY_ALLOW=127.0.0.1", "KUBBI_DATA_DIR="+dir)
	key := strings.TrimSpace(string(c.run("keys", "create", "--label", "producer")))
	client, err := kubbi.NewClient(key, kubbi.WithBaseURL(c.origins()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sent, err := client.Send(ctx, kubbi.SendParams{Content: "x", Notify: &kubbi.Notify{URL: receiver.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Claim(ctx, sent.ClaimToken); err != nil {
		t.Fatal(err)
	}
	first := next()
	for _, n := range c.nodes { // whichever of them it was
		c.kill(ctx, n)
	}
	close(hold)

	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "kubbi.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ring, err := keyring.Open(ctx, keyring.Config{Source: keyring.File(filepath.Join(dir, "keyring.json"))})
	if err != nil {
		t.Fatal(err)
	}
	rl, err := relay.New(relay.Config{
		Store: db, Keyring: ring, Origin: "https://relay.test",
		Notify: &webhook.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Now:    func() time.Time { return time.Now().Add(3 * time.Minute) },
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := rl.Run(running); err != nil {
			t.Error(err)
		}
	}()
	defer func() { stop(); <-ended }()
	if again := next(); again != first {
		t.Errorf("delivered again as %v, first as %v", again, first)
	}
	for {
		s, err := db.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s.Notices == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	select {
	case p := <-posts:
		t.Errorf("delivered once more: %v", p)
	default:
	}
}
