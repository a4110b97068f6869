package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// soon is less than any wait of these tests.
const soon = 20 * time.Second

// sendAndWait gives the arguments of a get and an inspect that wait for the claim of
// a new kubbi.
func sendAndWait(t *testing.T, c *kubbi.Client) (sent *kubbi.Sent, get, inspect string) {
	t.Helper()
	sent, err := c.Send(t.Context(), kubbi.SendParams{Content: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return sent, fmt.Sprintf(`{"id":%q,"wait_seconds":40}`, sent.ID), fmt.Sprintf(`{"claim_url":%q,"wait_seconds":"40s"}`, sent.ClaimURL)
}

// claimSoon claims in the background. The caller waits until it is done.
func claimSoon(t *testing.T, c *kubbi.Client, sent *kubbi.Sent) (done <-chan error) {
	claimed := make(chan error, 1)
	time.AfterFunc(50*time.Millisecond, func() {
		_, err := c.Claim(t.Context(), sent.ClaimURL)
		claimed <- err
	})
	return claimed
}

// TestWaitSeconds waits in a call for a claim, and reports progress to a client that asks for
// it.
func TestWaitSeconds(t *testing.T) {
	overEach(t, func(t *testing.T, c *client) {
		for tool := range map[string]bool{"get": true, "inspect": true} {
			sent, get, inspect := sendAndWait(t, c.kubbi)
			args := map[string]string{"get": get, "inspect": inspect}[tool]
			claimed := claimSoon(t, c.kubbi, sent)
			start := time.Now()
			notes, answer := c.ask(t, callWith(tool, args, `"progressToken":"p"`))
			if took := time.Since(start); took > soon || !strings.Contains(answer, `"retrieval_count":1`) {
				t.Errorf("%s: after %v %s", tool, took, answer)
			}
			if err := <-claimed; err != nil {
				t.Error(err)
			}
			if len(notes) != 1 || !strings.Contains(notes[0], `"progress":0,"progressToken":"p","total":40`) {
				t.Errorf("%s: %q", tool, notes)
			}
		}
		for args, want := range map[string]string{`{"id":"x","wait_seconds":51}`: "at most 50", `{"id":"x","wait_seconds":-1}`: "at least 0"} {
			if _, answer := c.ask(t, callWith("get", args, ``)); !strings.Contains(answer, want) {
				t.Errorf("%s: %s", args, answer)
			}
		}
	})
}

// TestWaitSecondsForAnAnswer waits in a call until a request is answered.
func TestWaitSecondsForAnAnswer(t *testing.T) {
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c})
	p.handshake(t)
	asked, err := c.Ask(t.Context(), kubbi.AskParams{Message: "a key", Fields: []api.Field{{Name: "KEY", Secret: true}}})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	time.AfterFunc(50*time.Millisecond, func() {
		_, err := c.Answer(t.Context(), asked.RequestURL, kubbi.AnswerParams{Values: map[string]string{"KEY": "x"}})
		answered <- err
	})
	start := time.Now()
	p.send(t, callWith("get", fmt.Sprintf(`{"id":%q,"wait_seconds":40}`, asked.ID), ``))
	answer := string(p.receive(t))
	if took := time.Since(start); took > soon || !strings.Contains(answer, `"status":"answered"`) {
		t.Errorf("after %v %s", took, answer)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// TestWaitIsCancelled ends a wait by a notification of the client.
func TestWaitIsCancelled(t *testing.T) {
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c})
	p.handshake(t)
	_, get, _ := sendAndWait(t, c)
	start := time.Now()
	p.send(t, `{"jsonrpc":"2.0","id":"w","method":"tools/call","params":{"name":"get","arguments":`+get+`}}`)
	time.Sleep(50 * time.Millisecond) // so that it waits; the test holds without that
	p.send(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"w"}}`)
	p.untilFree(t, "w")
	if took := time.Since(start); took > soon {
		t.Errorf("cancelled after %v", took)
	}
}

// TestWaitBecomesATask waits in a task, which ends with the change or when it is cancelled.
func TestWaitBecomesATask(t *testing.T) {
	c, _ := newClient(t)
	_, p := newTaskServer(t, Config{Client: c})
	p.handshake(t)
	for _, cancel := range []bool{false, true} {
		sent, get, _ := sendAndWait(t, c)
		start := time.Now()
		created := p.askTask(t, taskCall("get", get)).Result
		if created.ResultType != "task" || created.Status != taskWorking {
			t.Fatalf("%+v", created)
		}
		want := taskCompleted
		if cancel {
			want = taskCancelled
			p.askTask(t, taskRequest(methodTasksCancel, created.TaskID))
		} else if _, err := c.Claim(t.Context(), sent.ClaimURL); err != nil {
			t.Fatal(err)
		}
		got := p.awaitTask(t, created.TaskID).Result
		if took := time.Since(start); got.Status != want || took > soon || !cancel && !strings.Contains(string(got.Result), `"retrieval_count":1`) {
			t.Errorf("after %v %+v", took, got)
		}
	}
}

// TestWaitIsNotSlow waits longer than a client may stall.
func TestWaitIsNotSlow(t *testing.T) {
	s := newHost(t, HTTPConfig{Limits: slow()})
	_, get, _ := sendAndWait(t, s.client)
	session := s.session(t)
	status, answer := s.ask(t, "POST", "/mcp", session, callWith("get", strings.Replace(get, ":40", ":1", 1), ``))
	if status != http.StatusOK || !strings.Contains(answer, `"retrieval_count":0`) {
		t.Errorf("%d %s", status, answer)
	}
}
