package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// handoffs is a load on the nodes of a relay under which no request may fail. Kubbis
// are created at one node and claimed at another, and some are kept for later. No
// request is repeated.
type handoffs struct {
	t       *testing.T
	origins []string
	apiKey  string
	client  *http.Client
	done    atomic.Int64 // kubbis handed over

	mu   sync.Mutex
	kept map[string]string // claim tokens of kubbis that live, and their contents
}

// handoffPause is how long a worker pauses after each kubbi. The tests wait for the clock
// while kubbis are handed over: hundreds a second are enough, and leave other tests the
// processors.
const handoffPause = 20 * time.Millisecond

// startHandoffs starts goroutines that hand over kubbis until stop is called or the
// test ends.
func startHandoffs(t *testing.T, workers int, apiKey string, origins ...string) (h *handoffs, stop func()) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: workers}
	h = &handoffs{t: t, origins: origins, apiKey: apiKey, client: &http.Client{Transport: transport}, kept: map[string]string{}}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for worker := range workers {
		running.Go(func() {
			for n := 0; ctx.Err() == nil && !t.Failed(); n++ {
				h.handOver(worker, n)
				time.Sleep(handoffPause)
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		transport.CloseIdleConnections()
	})
	t.Cleanup(stop)
	return h, stop
}

// handOver creates a kubbi and claims it, unless it is one to keep. It is not
// cancelled: each handover must succeed.
func (h *handoffs) handOver(worker, n int) {
	content := fmt.Sprintf("%d of worker %d, %s", n, worker, strings.Repeat("x", n%5*1000))
	body := fmt.Sprintf(`{"content":%q,"content_type":"text/plain","ttl_seconds":3600,"max_retrievals":1}`, content)
	var c api.CreateResponse
	node := worker + n
	if !h.call(node, api.PathKubbis, body, http.StatusCreated, &c) {
		return
	}
	if n%20 == 0 {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.kept[c.ClaimToken] = content
		return
	}
	if h.claim(node+1, c.ClaimToken, content) {
		h.done.Add(1)
	}
}

func (h *handoffs) claim(node int, token, content string) bool {
	var c struct{ Content string }
	if !h.call(node, "/r/"+token+"/claim", "", http.StatusOK, &c) {
		return false
	}
	if c.Content != content {
		h.t.Errorf("a kubbi holds %.40q, want %.40q", c.Content, content)
	}
	return true
}

// claimKept claims the kubbis that were kept, and returns their number.
func (h *handoffs) claimKept() int {
	h.mu.Lock()
	kept := h.kept
	h.kept = map[string]string{}
	h.mu.Unlock()
	node := 0
	for token, content := range kept {
		h.claim(node, token, content)
		node++
	}
	return len(kept)
}

// call posts to one of the nodes and reads the answer, which must be a success.
func (h *handoffs) call(node int, path, body string, status int, into any) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.t.Context()), testkit.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.origins[node%len(h.origins)]+path, strings.NewReader(body))
	if err != nil {
		h.t.Error(err)
		return false
	}
	if path == api.PathKubbis {
		req.Header.Set("Authorization", "Bearer "+h.apiKey)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		h.t.Error(err)
		return false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == status {
		err = json.Unmarshal(b, into)
	}
	if err != nil || resp.StatusCode != status {
		h.t.Errorf("node %d: %s, %v: %.300s", node%len(h.origins), resp.Status, err, b)
		return false
	}
	return true
}

// rotateUnder rotates a keyring five times under the load, and prunes it until only the
// last key is left. A key stays while kubbis are sealed under it. run runs kubbi-mcp
// and returns its standard output.
func (h *handoffs) rotateUnder(run func(args ...string) []byte) {
	h.t.Helper()
	keys := func() (ids []string, sealing string, needed bool) {
		var list struct {
			Keys []struct {
				ID, State string
				Needed    bool
			}
		}
		h.decode(run("keyring", "list", "--json"), &list)
		for _, k := range list.Keys {
			ids = append(ids, k.ID)
			if k.State == "sealing" {
				sealing, needed = k.ID, k.Needed
			}
		}
		return ids, sealing, needed
	}
	var removed []string
	prune := func() (kept map[string]string) {
		// 6 s is much shorter than the default, and much longer than the second in
		// which a relay reads a new key.
		var report struct {
			Removed []string
			Kept    []struct{ ID, Reason string }
		}
		h.decode(run("keyring", "prune", "--margin", "6s", "--json"), &report)
		removed = append(removed, report.Removed...)
		kept = map[string]string{}
		for _, k := range report.Kept {
			kept[k.ID] = k.Reason
		}
		return kept
	}
	first, _, _ := keys()
	for i := range 5 {
		when := []string{"--now"}
		if i%2 == 1 {
			when = []string{"--after", "2s"}
		}
		var made struct{ ID string }
		h.decode(run(append([]string{"keyring", "rotate", "--json"}, when...)...), &made)
		h.await("kubbis are sealed under the new key", func() bool {
			_, sealing, needed := keys()
			return sealing == made.ID && needed
		})
	}
	all, last, _ := keys()
	if len(all) != len(first)+5 {
		h.t.Errorf("after five rotations there are %d keys, before there were %d", len(all), len(first))
	}
	h.await("nothing but kubbis keeps the old keys", func() bool {
		needed := 0
		for _, reason := range prune() {
			if strings.Contains(reason, "kubbis are sealed under it") {
				needed++
			}
		}
		return needed+len(removed) == len(all)-1 && needed > 0
	})
	claimed := 0
	h.await("only the last key is left", func() bool {
		claimed += h.claimKept()
		return len(prune()) == 1
	})
	slices.Sort(removed)
	if left, _, _ := keys(); len(left) != 1 || left[0] != last || len(slices.Compact(removed)) != len(all)-1 {
		h.t.Errorf("of %v there are left %v; removed %v", all, left, removed)
	}
	h.await("kubbis are kept under the last key", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.kept) >= 5
	})
	if n := h.claimKept(); claimed == 0 || n == 0 {
		h.t.Errorf("%d kept kubbis were claimed before, %d after", claimed, n)
	}
}

func (h *handoffs) decode(b []byte, v any) {
	h.t.Helper()
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(v); err != nil {
		h.t.Fatalf("%v: %.300s", err, b)
	}
}

// await polls until f is true.
func (h *handoffs) await(what string, f func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), testkit.Patience)
	defer cancel()
	for !f() {
		if h.t.Failed() {
			h.t.FailNow()
		}
		select {
		case <-ctx.Done():
			h.t.Fatalf("it never came about that %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
