package kubbi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

// dropper is a proxy before a relay. It loses the answer when it first sees an idempotency
// key: every second answer whole, the others half way through the body.
type dropper struct {
	relay   string
	seen    sync.Map
	dropped atomic.Int64
}

func (d *dropper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, d.relay+r.URL.RequestURI(), r.Body)
	if err != nil {
		panic(err)
	}
	out.Header = r.Header.Clone()
	out.ContentLength = r.ContentLength
	answer, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	if key := r.Header.Get(api.HeaderIdempotencyKey); key != "" && r.Method == http.MethodPost {
		if _, again := d.seen.LoadOrStore(key, true); !again {
			if d.dropped.Add(1)%2 == 0 {
				w.WriteHeader(answer.StatusCode)
				w.Write(body[:len(body)/2])
			}
			panic(http.ErrAbortHandler) // net/http cuts the connection
		}
	}
	w.WriteHeader(answer.StatusCode)
	w.Write(body)
}

// A response that is lost after the relay served the request costs nothing: the client's
// retry gets the payload of a kubbi that burns, and nobody else does.
func TestLostResponse(t *testing.T) {
	const n = 100
	relay := relaytest.New(t)
	d := &dropper{relay: relay.URL}
	proxy := httptest.NewServer(d)
	defer proxy.Close()

	ctx := context.Background()
	client, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(proxy.URL))
	if err != nil {
		t.Fatal(err)
	}
	other, err := kubbi.NewClient("", kubbi.WithBaseURL(relay.URL))
	if err != nil {
		t.Fatal(err)
	}

	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			content := fmt.Sprintf("payload %d", i)
			sent, err := client.Send(ctx, kubbi.SendParams{Content: content, MaxRetrievals: 1})
			if err != nil {
				t.Errorf("send %d: %v", i, err)
				return
			}
			// The proxy's origin is the base URL, so a bare token goes there.
			got, err := client.Claim(ctx, sent.ClaimToken)
			if err != nil {
				t.Errorf("claim %d: %v", i, err)
				return
			}
			if want := fmt.Sprintf("%q", content); string(got.Content) != want || !got.Burned {
				t.Errorf("claim %d: content %s burned %v, want %s true", i, got.Content, got.Burned, want)
			}
			if _, err := other.Claim(ctx, sent.ClaimToken); !errors.Is(err, kubbi.ErrGone) {
				t.Errorf("second consumer %d: %v, want ErrGone", i, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(client.Close(), other.Close()); err != nil {
		t.Error(err)
	}
	if got := d.dropped.Load(); got != 2*n {
		t.Errorf("the proxy lost %d answers, want %d", got, 2*n)
	}
	page, err := other.List(ctx, kubbi.ListParams{})
	if !errors.Is(err, kubbi.ErrUnauthorized) {
		t.Errorf("list without a key: %v, %v", page, err)
	}
	direct, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL))
	if err != nil {
		t.Fatal(err)
	}
	page, err = direct.List(ctx, kubbi.ListParams{})
	if err != nil {
		t.Fatal(err)
	}
	if page.Pagination.Total != n {
		t.Errorf("%d kubbis were made, want %d: a repeated create counts once", page.Pagination.Total, n)
	}
	for k, err := range direct.All(ctx, 100) {
		if err != nil {
			t.Fatal(err)
		}
		if k.RetrievalCount != 1 || k.Status != api.StatusBurned {
			t.Errorf("kubbi: %s after %d retrievals, want burned after 1", k.Status, k.RetrievalCount)
		}
	}
}
