package http

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// crowd is the number of agents. Half of them send, the others claim.
const crowd = 200

// handoff is a kubbi on its way from one agent to another.
type handoff struct{ url, content string }

// tally counts the work of a crowd.
type tally struct {
	sent, claimed, calls atomic.Int64
	failed               atomic.Int64 // times that an agent saw an error, and tried again
	lost                 atomic.Int64 // kubbis that a failed claim has used up
}

// soakFor is how long a crowd works: shorter with the race detector.
func soakFor() time.Duration {
	if testkit.Racing() {
		return 5 * time.Second
	}
	return 20 * time.Second
}

// agent is one agent of a crowd. It opens a new session after it has lost one.
type agent struct {
	t       *testing.T
	number  int
	url     string
	hc      *http.Client
	sse     bool
	peer    *peer // nil: none
	patient bool  // takes errors, which a restart causes
	tally   *tally
}

// call calls a tool once. It returns the errors that an agent sees.
func (a *agent) call(ctx context.Context, tool string, arguments map[string]any) (*testkit.ToolResult, error) {
	if a.peer == nil {
		transport := overHTTP
		if a.sse {
			transport = overSSE
		}
		p := newPeer(a.url, transport, nil, a.hc)
		if err := p.open(ctx); err != nil {
			p.end()
			return nil, err
		}
		a.peer = p
	}
	a.tally.calls.Add(1)
	res, err := a.peer.call(ctx, tool, arguments)
	if err != nil {
		a.leave()
	}
	return res, err
}

// leave ends the session, as good clients do. A lost session can't be ended.
func (a *agent) leave() {
	if a.peer == nil {
		return
	}
	if !a.sse {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if resp, err := a.peer.do(ctx, http.MethodDelete, "/mcp", nil); err == nil {
			resp.Body.Close()
		}
	}
	a.peer.end()
	a.peer = nil
}

// again waits a little before another try. It reports false if there must be no other
// try.
func (a *agent) again(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if !a.patient {
		a.t.Error(err)
		return false
	}
	a.tally.failed.Add(1)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(20 * time.Millisecond):
		return true
	}
}

// send sends kubbis until the end of the soak.
func (a *agent) send(ctx, until context.Context, to chan<- handoff) {
	defer a.leave()
	random := make([]byte, 480)
	for n := 0; until.Err() == nil; n++ {
		_, _ = rand.Read(random)
		content := fmt.Sprintf("%d/%d %s", a.number, n, hex.EncodeToString(random))
		res, err := a.call(ctx, "send", map[string]any{"content": content, "max_retrievals": 1})
		if err == nil && res.IsError {
			err = errors.New(res.Text())
		}
		if err != nil {
			if a.again(ctx, err) {
				continue // nobody was told of it
			}
			return
		}
		a.tally.sent.Add(1)
		select {
		case to <- handoff{res.Field("claim_url"), content}:
		case <-ctx.Done():
			return
		}
	}
}

// claim claims everything that is sent.
func (a *agent) claim(ctx context.Context, from <-chan handoff) {
	defer a.leave()
	n := 0
	for h := range from {
		for tries := 1; ; tries++ {
			res, err := a.call(ctx, "claim", map[string]any{"claim_url": h.url})
			if err != nil {
				if a.again(ctx, err) {
					continue
				}
				return
			}
			switch {
			case !res.IsError && payload(res) == h.content:
				a.tally.claimed.Add(1)
			case res.IsError && tries > 1:
				a.tally.lost.Add(1)
				a.t.Logf("lost after a claim that failed: %s", res.Text())
			default:
				a.t.Errorf("claim: %.300s", res.Text())
			}
			break
		}
		if n++; n%32 == 0 {
			// After a restart a caller may get the same payload again, for the grace:
			// nobody knows whether it read the first answer.
			if res, err := a.call(ctx, "claim", map[string]any{"claim_url": h.url}); err == nil && !res.IsError && (!a.patient || payload(res) != h.content) {
				a.t.Error("a kubbi that burned was claimed again")
			}
		}
	}
}

// work lets a crowd work while meanwhile runs. meanwhile must run until its context
// ends.
func work(t *testing.T, url string, patient bool, meanwhile func(enough context.Context)) *tally {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soakFor()+testkit.Patience)
	defer cancel()
	enough, cancelEnough := context.WithTimeout(ctx, soakFor())
	defer cancelEnough()
	until, stop := context.WithCancel(ctx)
	defer stop()
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * crowd}
	defer transport.CloseIdleConnections()
	hc := &http.Client{Transport: transport}

	var done tally
	kubbis := make(chan handoff, crowd)
	var senders, claimers sync.WaitGroup
	begin := time.Now()
	for i := range crowd {
		a := &agent{t: t, number: i, url: url, hc: hc, sse: i%8 < 2, patient: patient, tally: &done}
		if i%2 == 0 {
			senders.Go(func() { a.send(ctx, until, kubbis) })
		} else {
			claimers.Go(func() { a.claim(ctx, kubbis) })
		}
	}
	meanwhile(enough)
	stop()
	senders.Wait()
	close(kubbis)
	claimers.Wait()
	if ctx.Err() != nil {
		t.Error("the agents did not get through")
	}
	sent, claimed, lost := done.sent.Load(), done.claimed.Load(), done.lost.Load()
	t.Logf("%d sent, %d claimed, %d lost; %.0f calls/s, %d failures seen",
		sent, claimed, lost, float64(done.calls.Load())/time.Since(begin).Seconds(), done.failed.Load())
	if sent == 0 || sent != claimed+lost {
		t.Errorf("%d sent, %d claimed, %d lost", sent, claimed, lost)
	}
	return &done
}

// TestSoak has a crowd of agents hand each other secrets.
func TestSoak(t *testing.T) {
	testkit.OnlyCI(t, "a crowd of 200 agents")
	t.Parallel()
	s := startHTTP(t)
	before := s.baseline(t, nil)
	work(t, s.url, false, func(enough context.Context) { <-enough.Done() })
	s.recovers(t, before, nil)
}

// TestSoakRestarts does the same while the server is restarted.
func TestSoakRestarts(t *testing.T) {
	testkit.OnlyCI(t, "a crowd of 200 agents")
	t.Parallel()
	args := []string{"--addr", testkit.MustFreeAddr(t), "--relay-url", testkit.FreeURL(t), "--data-dir", t.TempDir()}
	start := func() *httpServer { return launchHTTP(t, command(context.Background(), t, args...)) }
	s := start()
	defer func() { s.stop(t) }()
	restarts := 0
	done := work(t, s.url, true, func(enough context.Context) {
		for pause := soakFor() / 8; enough.Err() == nil || restarts < 2; restarts++ { // a start takes its time on a busy machine
			time.Sleep(pause)
			s.stop(t)
			s = start()
		}
	})
	t.Logf("%d restarts", restarts)
	if restarts < 2 || done.failed.Load() == 0 {
		t.Errorf("%d restarts, of which agents saw %d failures: nothing was tested", restarts, done.failed.Load())
	}
	if lost := done.lost.Load(); lost > 0 {
		t.Errorf("%d payloads are lost, though every running call had the time to end", lost)
	}
}
