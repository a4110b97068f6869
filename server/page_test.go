package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/claims"
)

// pageHost is a host of one protocol version that is asked to show pages.
type pageHost struct {
	*peer
	t      *testing.T
	modern bool
	caps   string
	client *kubbi.Client
	seen   strings.Builder // everything that the server has written
}

func newPageHost(t *testing.T, modern bool, caps string, change func(*Server)) *pageHost {
	t.Helper()
	client, _ := newClient(t)
	s, err := New(Config{Client: client, State: claims.NewState(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	h := &pageHost{peer: connect(t, s), t: t, modern: modern, caps: caps, client: client}
	if !modern {
		h.send(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":`+caps+`,"clientInfo":{"name":"test","version":"1"}}}`)
		h.receive(t)
		h.send(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	}
	return h
}

// pageMessage is what the server writes: a request, or the answer to a call.
type pageMessage struct {
	ID     json.RawMessage
	Method string
	Params elicitation
	Result struct {
		ResultType    string
		RequestState  string
		InputRequests map[string]struct {
			Method string
			Params elicitation
		}
		Content           []struct{ Text string }
		IsError           bool
		StructuredContent struct {
			RequestID   string `json:"request_id"`
			RequestURL  string `json:"request_url"`
			Fingerprint string
			Status      api.RequestStatus
			Next        string
		}
	}
}

type elicitation struct {
	Mode, Message, URL string
	ElicitationID      string `json:"elicitationId"`
	RequestedSchema    json.RawMessage
}

func (h *pageHost) next() (m pageMessage) {
	h.t.Helper()
	line := h.receive(h.t)
	h.seen.Write(line)
	if err := json.Unmarshal(line, &m); err != nil {
		h.t.Fatalf("%v: %s", err, line)
	}
	return m
}

// result gives the next answer, after notifications.
func (h *pageHost) result() (m pageMessage) {
	h.t.Helper()
	for m = h.next(); m.Method != ""; m = h.next() {
	}
	return m
}

// ask calls request. extra are members of its params.
func (h *pageHost) ask(id int, extra string) {
	h.t.Helper()
	h.callTool(id, "request", `{"message":"for the tests","fields":["STRIPE_KEY"]}`, extra)
}

// callTool writes a call. extra are members of its params.
func (h *pageHost) callTool(id int, tool, arguments, extra string) {
	h.t.Helper()
	if h.modern {
		extra += `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":` + h.caps + `}`
	}
	h.send(h.t, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s%s}}`, id, tool, arguments, extra))
}

// askShown calls request, gives the user's answer to the page, "" for none, and returns what
// the user was shown and the result.
func (h *pageHost) askShown(answer string) (elicitation, pageMessage) {
	h.t.Helper()
	h.ask(1, "")
	m := h.next()
	if !h.modern {
		if m.Method != "elicitation/create" {
			h.t.Fatalf("the host is not asked: %+v", m)
		}
		if answer != "" {
			h.send(h.t, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%s}`, m.ID, answer))
		}
		return m.Params, h.next()
	}
	r, ok := m.Result.InputRequests["page"]
	if m.Result.ResultType != "input_required" || !ok || r.Method != "elicitation/create" {
		h.t.Fatalf("the host is not asked: %+v", m)
	}
	responses := `{}`
	if result, ok := strings.CutPrefix(answer, `"result":`); ok {
		responses = `{"page":` + result + `}`
	}
	h.ask(2, fmt.Sprintf(`,"inputResponses":%s,"requestState":%q`, responses, m.Result.RequestState))
	return r.Params, h.next()
}

const withPages = `{"elicitation":{"url":{}}}`

// TestPageIsShown has a host show the page of a request to its user, who accepts, declines,
// cancels or says nothing.
func TestPageIsShown(t *testing.T) {
	for _, modern := range []bool{false, true} {
		for name, tt := range map[string]struct {
			answer string
			status api.RequestStatus
			next   string
		}{
			"accept":  {`"result":{"action":"accept"}`, api.RequestPending, "Your user was shown the page and has agreed to open it."},
			"decline": {`"result":{"action":"decline"}`, api.RequestPending, "did not open the page"},
			"cancel":  {`"result":{"action":"cancel"}`, api.RequestPending, "did not open the page"},
			"nothing": {"", api.RequestPending, "has not said yet. Show them request_url as well"},
			"an error": {map[bool]string{false: `"error":{"code":-32603,"message":"no"}`, true: `"result":7`}[modern], api.RequestPending,
				map[bool]string{false: "Show request_url to whoever", true: "has not said yet"}[modern]},
		} {
			t.Run(fmt.Sprintf("%s, modern %t", name, modern), func(t *testing.T) {
				h := newPageHost(t, modern, withPages, func(s *Server) {
					if name == "nothing" {
						s.askTimeout = 50 * time.Millisecond
					}
				})
				shown, m := h.askShown(tt.answer)
				got := m.Result.StructuredContent
				if m.Result.IsError || got.Status != tt.status || !strings.Contains(got.Next, tt.next) {
					t.Errorf("got %+v", m.Result)
				}
				if shown.Mode != "url" || shown.URL != got.RequestURL || shown.RequestedSchema != nil || (shown.ElicitationID == got.RequestID) == modern {
					t.Errorf("the host is asked for %+v", shown)
				}
				if !strings.Contains(shown.Message, got.Fingerprint) || !strings.Contains(shown.Message, "STRIPE_KEY") || !strings.Contains(shown.Message, "for the tests") {
					t.Errorf("the user is told %q", shown.Message)
				}
				asked, err := h.client.Asked(t.Context(), got.RequestID)
				if err != nil || asked.Status != tt.status {
					t.Errorf("at the relay: %+v, %v", asked, err)
				}
				if seen := h.seen.String(); strings.Contains(seen, "#i=") || strings.Contains(seen, "/r/") {
					t.Errorf("the server has written a claim URL: %s", seen)
				}
			})
		}
	}
}

// TestPageIsNotShown checks hosts that do not show pages: they are not asked, above all not
// with a form.
func TestPageIsNotShown(t *testing.T) {
	for _, modern := range []bool{false, true} {
		for _, caps := range []string{`{}`, `{"elicitation":{}}`, `{"elicitation":{"form":{}}}`} {
			t.Run(fmt.Sprintf("%s, modern %t", caps, modern), func(t *testing.T) {
				h := newPageHost(t, modern, caps, nil)
				h.ask(1, "")
				m := h.next()
				if got := m.Result.StructuredContent; m.Method != "" || got.Status != api.RequestPending || !strings.HasPrefix(got.Next, "Show request_url to whoever is to answer") {
					t.Errorf("got %+v", m)
				}
			})
		}
	}
}

// TestPageOfCancelledCall cancels a call while the user is asked: the request is withdrawn.
func TestPageOfCancelledCall(t *testing.T) {
	h := newPageHost(t, false, withPages, nil)
	h.ask(1, "")
	m := h.next()
	h.send(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	testkit.Await(t, "the withdrawal", func() bool {
		asked, err := h.client.Asked(t.Context(), m.Params.ElicitationID)
		return err == nil && asked.Status == api.RequestWithdrawn
	})
}

// TestPageOfNoRequest repeats a call with a state that names no request of the caller.
func TestPageOfNoRequest(t *testing.T) {
	h := newPageHost(t, true, withPages, nil)
	state := base64.RawURLEncoding.EncodeToString([]byte(`{"request_id":"00000000-0000-4000-8000-000000000000","request_url":"http://example.org/","status":"pending"}`))
	for _, action := range []string{"accept", "decline"} {
		h.ask(1, fmt.Sprintf(`,"inputResponses":{"page":{"action":%q}},"requestState":%q`, action, state))
		if m := h.next(); !m.Result.IsError || strings.Contains(m.Result.Content[0].Text, "example.org") {
			t.Errorf("%s: got %+v", action, m)
		}
	}
}

// TestPageIsAnsweredMeanwhile has the user answer, and then decline or accept to open the
// page: the answer counts.
func TestPageIsAnsweredMeanwhile(t *testing.T) {
	for _, modern := range []bool{false, true} {
		for _, action := range []string{"accept", "decline"} {
			h := newPageHost(t, modern, withPages, nil)
			h.ask(1, "")
			m := h.next()
			page := m.Params
			if modern {
				page = m.Result.InputRequests["page"].Params
			}
			if _, err := h.client.Answer(t.Context(), page.URL, kubbi.AnswerParams{Values: map[string]string{"STRIPE_KEY": "value"}}); err != nil {
				t.Fatal(err)
			}
			if modern {
				h.ask(2, fmt.Sprintf(`,"inputResponses":{"page":{"action":%q}},"requestState":%q`, action, m.Result.RequestState))
			} else {
				h.send(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":%q}}`, m.ID, action))
			}
			got := h.result().Result.StructuredContent
			if got.Status != api.RequestAnswered || !strings.HasPrefix(got.Next, "It is answered. Use the answer without seeing it: kubbi-mcp run --env-from "+got.RequestID) {
				t.Errorf("%s, modern %t: %+v", action, modern, got)
			}
			h.callTool(3, "claim", `{"claim_url":"`+got.RequestID+`"}`, "")
			if m := h.result(); !m.Result.IsError || !strings.Contains(m.Result.Content[0].Text, "holds secrets") {
				t.Errorf("%s, modern %t: the claim URL is not kept: %+v", action, modern, m.Result)
			}
		}
	}
}
