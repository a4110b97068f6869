//go:build unix

package local_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// waitAnswer is the answer to a request that waits.
type waitAnswer struct {
	status        int
	applied, body string
	err           error
	took          time.Duration
}

// inspectLater inspects a claim URL and waits for a change.
func inspectLater(t *testing.T, c *http.Client, url string) <-chan waitAnswer {
	t.Helper()
	req := request(t, "GET", url+api.SuffixInspect, "")
	req.Header.Set(api.HeaderPrefer, "wait=50")
	req.Header.Set(api.HeaderSeen, "active/0")
	done := make(chan waitAnswer, 1)
	go func() {
		start := time.Now()
		resp, err := c.Do(req)
		if err != nil {
			done <- waitAnswer{err: err, took: time.Since(start)}
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		done <- waitAnswer{resp.StatusCode, resp.Header.Get(api.HeaderPreferenceApplied), string(b), err, time.Since(start)}
	}()
	return done
}

const soon = 2 * time.Second // less than shutdownTime, and than any wait

// TestWaitAtANeighbour waits for a claim URL of another data directory, by HTTP and within a
// process.
func TestWaitAtANeighbour(t *testing.T) {
	addr, all := neighbours(t, 2)
	for name, c := range map[string]*http.Client{"curl": plain, "maker": client(all[1].relay), "other": client(all[0].relay)} {
		url := "http://" + addr + "/r/" + createOnceAt(t, all[1].relay, addr, "x")
		done := inspectLater(t, c, url)
		time.Sleep(50 * time.Millisecond) // so that it waits; the test holds without that
		if status, body := ask(t, plain, "POST", url+api.SuffixClaim, ""); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		got := testkit.Receive(t, done, "answer")
		if got.err != nil || got.status != http.StatusGone || got.applied != "wait=50" || got.took > 20*time.Second || !strings.Contains(got.body, "burned") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestWaitEndsWithServe stops to listen: who waits gets an answer at once, and the process
// goes on.
func TestWaitEndsWithServe(t *testing.T) {
	addr, all := neighbours(t, 1)
	s := all[0]
	url := "http://" + addr + "/r/" + createOnceAt(t, s.relay, addr, "x")
	done := inspectLater(t, plain, url)
	time.Sleep(200 * time.Millisecond) // so that it waits
	start := time.Now()
	s.stop()
	got := testkit.Receive(t, done, "answer")
	if got.err != nil || got.status != http.StatusOK || got.applied != "" || time.Since(start) > soon {
		t.Errorf("after %v %+v", time.Since(start), got)
	}
	if took := time.Since(start); took > soon {
		t.Errorf("it listened for %v more", took)
	}
	own := client(s.relay)
	done = inspectLater(t, own, url)
	if status, body := ask(t, own, "POST", url+api.SuffixClaim, ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if got := testkit.Receive(t, done, "answer"); got.applied != "wait=50" || got.status != http.StatusGone {
		t.Errorf("later: %+v", got)
	}
}
