package service

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// waitFor gets a kubbi and waits for a change.
func (s *served) waitFor(url, id string, seconds int) (applied, body string, err error) {
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", url+api.PathKubbi+id, nil)
	if err != nil {
		return "", "", err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set(api.HeaderPrefer, fmt.Sprintf("wait=%d", seconds))
	resp, err := s.client.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", resp.Status, b)
	}
	return resp.Header.Get(api.HeaderPreferenceApplied), string(b), err
}

// TestWaits has many requests that wait, over HTTP/1.1 and HTTP/2. They take no room of other
// requests, no deadline cuts them, and a service that stops answers them at once.
func TestWaits(t *testing.T) {
	const many = 12
	change := func(c *Config) {
		c.Limits.Requests, c.Limits.Stall = 8, 300*time.Millisecond // longer than any answer needs, and shorter than the waits
	}
	for name, start := range map[string]func(*testing.T) (*served, string){
		"HTTP/1.1": func(t *testing.T) (*served, string) { s := serve(t, change); return s, s.url },
		"HTTP/2":   func(t *testing.T) (*served, string) { s, url, _ := serveTLS(t, change); return s, url },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it sleeps
			s, url := start(t)
			_, text := s.call("POST", url+api.PathKubbis, strings.Replace(small, `60}`, `600}`, 1))
			var made api.CreateResponse
			if err := json.Unmarshal([]byte(text), &made); err != nil {
				t.Fatal(err)
			}
			waitAll := func(seconds int, check func(applied, body string) bool) *sync.WaitGroup {
				var all sync.WaitGroup
				for range many {
					// One after the other, since only 8 may run until they wait.
					before := s.relay.Waiting()
					all.Go(func() {
						if applied, body, err := s.waitFor(url, made.ID, seconds); err != nil || !check(applied, body) {
							t.Errorf("%q %s %v", applied, body, err)
						}
					})
					testkit.Await(t, "it waits", func() bool { return s.relay.Waiting() > before })
				}
				return &all
			}
			all := waitAll(3, func(applied, body string) bool { return applied == "wait=3" && strings.Contains(body, `"active"`) })
			if status, text := s.call("GET", url+api.PathKubbis, ""); status != 200 {
				t.Errorf("beside them: %d %s", status, text)
			}
			if _, text := s.call("GET", s.metrics+"/metrics", ""); name == "HTTP/1.1" && !strings.Contains(text, fmt.Sprintf("\nkubbi_relay_waiting_requests %d\n", many)) {
				t.Error("the metrics don't have the requests that wait")
			}
			all.Wait()
			all = waitAll(50, func(applied, body string) bool { return applied == "" && strings.Contains(body, `"active"`) })
			begin := time.Now()
			s.stop()
			all.Wait()
			s.wait()
			if took := time.Since(begin); took > 8*time.Second { // Limits.Drain is 10 s
				t.Errorf("it stopped after %v", took)
			}
			if strings.Contains(s.log.String(), "requests are cancelled") {
				t.Error("requests were cancelled")
			}
		})
	}
}
