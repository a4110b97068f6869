//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const callers = 16

// pool is a client that keeps n connections.
func pool(n int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n, MaxConnsPerHost: n}}
}

// spread runs do for each i below n, from so many goroutines, and gives how
// many there were in a second, or the first error.
func spread(workers, n int, do func(worker, i int) error) (rate float64, err error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	var first sync.Once
	begin := time.Now()
	for w := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if e := do(w, i); e != nil {
					first.Do(func() { err = e })
					next.Store(int64(n)) // nobody goes on
				}
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(begin).Seconds(), err
}

// order is that of n programs in a round. Each round begins with another one, and
// every second round goes backwards, so that none always follows the same one.
func order(n, round int) []int {
	var all []int
	for i := range n {
		all = append(all, (i+round)%n)
	}
	if round%2 == 1 {
		slices.Reverse(all)
	}
	return all
}

// request is what do sends.
type request struct {
	method, url string
	body        []byte
	key         string // API key, or empty
}

// do sends one request and reads the answer whole.
func do(ctx context.Context, client *http.Client, q request) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, q.method, q.url, bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if q.key != "" {
		r.Header.Set("Authorization", "Bearer "+q.key)
	}
	a, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	var b bytes.Buffer
	if a.ContentLength > 0 {
		b.Grow(int(min(a.ContentLength, 1<<24)) + bytes.MinRead)
	}
	_, err = b.ReadFrom(io.LimitReader(a.Body, 1<<24))
	if err == nil && a.StatusCode >= 300 {
		err = fmt.Errorf("%s: %.200s", a.Status, b.Bytes())
	}
	return b.Bytes(), err
}

// message is a text on its way, and the bodies that carry it.
type message struct {
	text   string
	quoted []byte // as JSON has it
	kubbi  []byte // creates a kubbi
	yopass []byte // creates a secret of yopass
}

func newMessage(text string) (*message, error) {
	m := &message{text: text}
	var err error
	if m.quoted, err = json.Marshal(text); err != nil {
		return nil, err
	}
	if m.kubbi, err = json.Marshal(map[string]any{"content": text, "content_type": "text/plain", "ttl_seconds": 3600, "max_retrievals": 1}); err != nil {
		return nil, err
	}
	m.yopass, err = json.Marshal(map[string]any{"message": text, "expiration": 3600, "one_time": true})
	return m, err
}

// in returns an error if an answer does not have the text.
func (m *message) in(answer []byte, err error) error {
	if err == nil && !bytes.Contains(answer, m.quoted) {
		err = fmt.Errorf("another content came back: %.200s", answer)
	}
	return err
}

// relay is a relay over HTTP.
type relay struct {
	client   *http.Client
	url, key string
	data     string // its directory
	*process
}

func (r *relay) create(ctx context.Context, m *message) (token string, err error) {
	_, token, err = r.createID(ctx, m)
	return token, err
}

func (r *relay) createID(ctx context.Context, m *message) (id, token string, err error) {
	b, err := do(ctx, r.client, request{http.MethodPost, r.url + "/api/v1/kubbis", m.kubbi, r.key})
	if err != nil {
		return "", "", err
	}
	return member(b, "id"), member(b, "claim_token"), nil
}

func (r *relay) claim(ctx context.Context, token string, m *message) error {
	return m.in(do(ctx, r.client, request{http.MethodPost, r.url + "/r/" + token + "/claim", nil, ""}))
}

// member gives a string of an answer, without decoding the rest.
func member(answer []byte, name string) string {
	_, rest, _ := bytes.Cut(answer, []byte(`"`+name+`":`))
	_, rest, _ = bytes.Cut(rest, []byte(`"`))
	v, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(v)
}
