package tools

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/claims"
)

// host is a client in one session, with a server of its own.
type host struct {
	*caller
	saver *claims.Claimer
}

func newHost(t *testing.T, client *kubbi.Client, state, who string) *host {
	t.Helper()
	var s *claims.State
	if state != "" {
		s = claims.NewState(state)
	}
	h := &host{caller: &caller{}, saver: claims.New(client, s, who, nil)}
	t.Cleanup(h.saver.Close)
	h.register(t, Config{
		Client: client, Received: true, Claims: h.saver,
		Peer: func(context.Context) Peer { return Peer{Session: "one", Sent: time.Now()} },
	})
	return h
}

// TestAgain claims a kubbi's last retrieval, and claims it again within the grace: the
// caller gets it with again and with save_to, and nobody else gets it.
func TestAgain(t *testing.T) {
	sender, _ := newSender(t)
	for name, disk := range map[string]bool{"on disk": true, "in memory": false} {
		t.Run(name, func(t *testing.T) {
			state := ""
			if disk {
				state = t.TempDir()
			}
			sent, err := sender.Send(t.Context(), kubbi.SendParams{Content: "s3cr3t", MaxRetrievals: 1})
			if err != nil {
				t.Fatal(err)
			}
			plain, again := fmt.Sprintf(`{"claim_url":%q}`, sent.ClaimURL), fmt.Sprintf(`{"claim_url":%q,"again":true}`, sent.ClaimURL)
			alice := newHost(t, sender, state, "alice")
			if text := textOf(t, alice.call(t, "claim", again)); !strings.Contains(text, "nothing was done") || !strings.Contains(text, "Leave again out") {
				t.Fatalf("again, without a claim before: %s", text)
			}
			if got := payloadOf(t, alice.call(t, "claim", plain)); got != "s3cr3t" {
				t.Fatalf("claimed %q", got)
			}
			for range 2 {
				if text := textOf(t, alice.call(t, "claim", plain)); !strings.Contains(text, "again: true") || strings.Contains(text, "s3cr3t") || alice.outcome != "gone" {
					t.Fatalf("claimed twice: %s, outcome %s", text, alice.outcome)
				}
				if got := payloadOf(t, alice.call(t, "claim", again)); got != "s3cr3t" {
					t.Fatalf("again: %q", got)
				}
			}
			bob := newHost(t, sender, state, "bob")
			for _, args := range []string{plain, again} {
				if res := bob.call(t, "claim", args); !res.IsError || strings.Contains(textOf(t, res), "s3cr3t") {
					t.Errorf("bob gets %s", textOf(t, res))
				}
			}
			if disk {
				// A second process of hers, while the first one lives, is another agent.
				start := time.Now()
				if res := newHost(t, sender, state, "alice").call(t, "claim", plain); !res.IsError || time.Since(start) > claims.Patience {
					t.Errorf("another process gets %s after %s", textOf(t, res), time.Since(start))
				}
				res := alice.call(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":"received"}`, sent.ClaimURL))
				out := manifestOfResult(t, res)
				if b, err := os.ReadFile(out.Files[0].Path); err != nil || string(b) != "s3cr3t" {
					t.Fatalf("saved %q, %v", b, err)
				}
			} else if got := payloadOf(t, alice.call(t, "claim", again)); got != "s3cr3t" {
				t.Fatalf("again: %q", got)
			}
			time.Sleep(20 * time.Millisecond) // the clock of Windows is coarse
			alice.call(t, "list", `{}`)       // so she has read the answer
			if res := alice.call(t, "claim", again); !res.IsError {
				t.Errorf("after she has read the answer: %s", textOf(t, res))
			}
			if k, err := sender.Get(t.Context(), sent.ID); err != nil || k.RetrievalCount != 1 {
				t.Errorf("%+v, %v", k, err)
			}
		})
	}
}

// TestAnswerInAPipe ends a session after its answer was written, as a host does that dies
// before it reads: another process of the same caller can claim again.
func TestAnswerInAPipe(t *testing.T) {
	sender, _ := newSender(t)
	sent, err := sender.Send(t.Context(), kubbi.SendParams{Content: "s3cr3t", MaxRetrievals: 1})
	if err != nil {
		t.Fatal(err)
	}
	state, args := t.TempDir(), fmt.Sprintf(`{"claim_url":%q}`, sent.ClaimURL)
	first := newHost(t, sender, state, "")
	payloadOf(t, first.call(t, "claim", args))
	first.saver.SessionEnded("one")
	if got := payloadOf(t, newHost(t, sender, state, "").call(t, "claim", args)); got != "s3cr3t" {
		t.Errorf("claimed %q", got)
	}
	if k, err := sender.Get(t.Context(), sent.ID); err != nil || k.RetrievalCount != 1 {
		t.Errorf("%+v, %v", k, err)
	}
}

// TestAgainCountsOnce repeats a claim of a kubbi with more retrievals: with again it does
// not count, without it does.
func TestAgainCountsOnce(t *testing.T) {
	sender, _ := newSender(t)
	sent, err := sender.Send(t.Context(), kubbi.SendParams{Content: "text", MaxRetrievals: 5})
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, sender, t.TempDir(), "")
	for i, again := range []bool{false, true, true, false, true} {
		payloadOf(t, h.call(t, "claim", fmt.Sprintf(`{"claim_url":%q,"again":%t}`, sent.ClaimURL, again)))
		want := []int{1, 1, 1, 2, 2}[i]
		if k, err := sender.Get(t.Context(), sent.ID); err != nil || k.RetrievalCount != want {
			t.Errorf("after claim %d it counts %d, want %d, %v", i+1, k.RetrievalCount, want, err)
		}
	}
}

// TestAgainWithoutGrace claims from a service that gives a payload once: a small one stays
// in memory until its time is over or the caller has read the answer.
func TestAgainWithoutGrace(t *testing.T) {
	const inspect = `{"status":"active","content_type":"text/plain","max_retrievals":1,"retrieval_count":0,` + someTimes + `}`
	url := service(t, inspect, `{"content":"s3cr3t","content_type":"text/plain","burned":true,`+someTimes+`}`)
	state := t.TempDir()
	h := newHost(t, newClient(t, "", url), state, "")
	again := fmt.Sprintf(`{"claim_url":%q,"again":true}`, anyToken)
	payloadOf(t, h.call(t, "claim", byToken))
	if text := textOf(t, h.call(t, "claim", byToken)); !strings.Contains(text, "again: true") {
		t.Fatalf("claimed twice: %s", text)
	}
	if got := payloadOf(t, h.call(t, "claim", again)); got != "s3cr3t" {
		t.Fatalf("again: %q", got)
	}
	if left := testkit.FilesIn(t, state); len(left) != 0 {
		t.Errorf("on disk: %v", left)
	}
	out := manifestOfResult(t, h.call(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":"received"}`, anyToken)))
	if b, err := os.ReadFile(out.Files[0].Path); err != nil || string(b) != "s3cr3t" {
		t.Errorf("saved %q, %v", b, err)
	}
	if res := h.call(t, "claim", again); !res.IsError {
		t.Errorf("after it was saved: %s", textOf(t, res))
	}
}
