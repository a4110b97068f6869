package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
)

// client is an MCP client over one of the transports.
type client struct {
	kubbi *kubbi.Client // of the same producer
	// ask sends a request. It returns the notifications before the answer, and the answer.
	ask func(t *testing.T, line string) (notes []string, answer string)
	// note returns the next notification that belongs to no request.
	note func(t *testing.T) string
}

// overEach runs a test over each transport, with a client that has done the
// handshake.
func overEach(t *testing.T, test func(*testing.T, *client)) {
	t.Run("stdio", func(t *testing.T) {
		c, _ := newClient(t)
		s, err := New(Config{Client: c, PollEvery: pollEvery})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		p := connect(t, s)
		p.handshake(t)
		test(t, &client{
			kubbi: c,
			ask: func(t *testing.T, line string) ([]string, string) {
				p.send(t, line)
				return untilAnswer(func() string { return strings.TrimSuffix(string(p.receive(t)), "\n") })
			},
			note: func(t *testing.T) string { return strings.TrimSuffix(string(p.receive(t)), "\n") },
		})
		p.hangUp(t)
	})
	t.Run("sse", func(t *testing.T) {
		h := newHost(t, HTTPConfig{Server: Config{PollEvery: pollEvery}})
		endpoint, stream := h.sse(t.Context(), t)
		test(t, &client{
			kubbi: h.client,
			ask: func(t *testing.T, line string) ([]string, string) {
				h.post(t, endpoint, "", line)
				return untilAnswer(func() string { return next(t, stream) })
			},
			note: func(t *testing.T) string { return next(t, stream) },
		})
	})
	t.Run("http", func(t *testing.T) {
		h := newHost(t, HTTPConfig{Server: Config{PollEvery: pollEvery}})
		id := h.session(t)
		stream := events(h.open(t.Context(), t, http.MethodGet, "/mcp", id, "").Body)
		test(t, &client{
			kubbi: h.client,
			ask: func(t *testing.T, line string) ([]string, string) {
				_, body := h.ask(t, http.MethodPost, "/mcp", id, line)
				if !strings.HasPrefix(body, "event:") {
					return nil, strings.TrimSuffix(body, "\n")
				}
				got := dataOf(body)
				return untilAnswer(func() string { e := got[0]; got = got[1:]; return e })
			},
			note: func(t *testing.T) string { return next(t, stream) },
		})
	})
}

func untilAnswer(next func() string) (notes []string, answer string) {
	for {
		m := next()
		if !isNotification(m) {
			return notes, m
		}
		notes = append(notes, m)
	}
}

// dataOf gives the data of a whole stream's events.
func dataOf(stream string) (data []string) {
	for line := range strings.Lines(stream) {
		if d, ok := strings.CutPrefix(line, "data: "); ok {
			data = append(data, strings.TrimSuffix(d, "\n"))
		}
	}
	return data
}

// pollEvery is so short that tests need not wait for a receipt.
const pollEvery = 40 * time.Millisecond

func updated(id string) string {
	return `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"kubbi://` + id + `"}}`
}

// TestReceiptsOverEachTransport subscribes to two kubbis and gets notifications of their claims,
// for one of them only until it unsubscribes.
func TestReceiptsOverEachTransport(t *testing.T) {
	overEach(t, func(t *testing.T, c *client) {
		stays, goes := send(t, c.kubbi, 3), send(t, c.kubbi, 3)
		subscribe := func(method, id string) {
			t.Helper()
			if notes, answer := c.ask(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"resources/%s","params":{"uri":"kubbi://%s"}}`, method, id)); answer != `{"jsonrpc":"2.0","id":1,"result":{}}` || notes != nil {
				t.Errorf("%s: %v %s", method, notes, answer)
			}
		}
		subscribe("subscribe", stays.ID)
		subscribe("subscribe", goes.ID)
		claim(t, c.kubbi, goes.ClaimURL)
		if got := c.note(t); got != updated(goes.ID) {
			t.Errorf("got %s", got)
		}
		subscribe("unsubscribe", goes.ID)
		claim(t, c.kubbi, goes.ClaimURL)
		for range 3 {
			claim(t, c.kubbi, stays.ClaimURL)
			if got := c.note(t); got != updated(stays.ID) {
				t.Errorf("got %s", got)
			}
		}
		if _, answer := c.ask(t, `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"kubbi://00000000-0000-4000-8000-000000000000"}}`); !strings.Contains(answer, "-32002") || !strings.Contains(answer, "no such resource") {
			t.Errorf("nobody's: %s", answer)
		}
	})
}

// modern is the _meta of a request of the newest version.
const modern = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

func listen(id, uri string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[%q]},%s}}`, id, uri, modern)
}

func tagged(id, kubbi string) string {
	return `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":` + id + `},"uri":"kubbi://` + kubbi + `"}}`
}

func wantAck(t *testing.T, got, id, uri string) {
	t.Helper()
	if !strings.Contains(got, "notifications/subscriptions/acknowledged") || !strings.Contains(got, `"io.modelcontextprotocol/subscriptionId":`+id) || !strings.Contains(got, uri) {
		t.Errorf("the first that a stream says is %s", got)
	}
}

// TestListenOverStdio opens two streams for one kubbi on one connection, and ends one of
// them. The notification of a kubbi that has ended already comes after the
// acknowledgement.
func TestListenOverStdio(t *testing.T) {
	c, _ := newClient(t)
	s, err := New(Config{Client: c, PollEvery: pollEvery})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	p := connect(t, s)
	note := func() string { return strings.TrimSuffix(string(p.receive(t)), "\n") }
	k := send(t, c, 3)
	uri := kubbiScheme + k.ID
	for _, id := range []string{`"one"`, `2`} {
		p.send(t, listen(id, uri))
		wantAck(t, note(), id, uri)
	}
	claim(t, c, k.ClaimURL)
	got := []string{note(), note()}
	slices.Sort(got)
	if want := []string{tagged(`"one"`, k.ID), tagged(`2`, k.ID)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p.send(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"one"}}`)
	until(t, func() bool {
		s.watcher.mu.Lock()
		defer s.watcher.mu.Unlock()
		return len(s.watcher.kubbis[k.ID].subscribers) == 1
	})
	claim(t, c, k.ClaimURL)
	if got := note(); got != tagged(`2`, k.ID) {
		t.Errorf("got %s", got)
	}
	claim(t, c, k.ClaimURL)
	if got := note(); got != tagged(`2`, k.ID) {
		t.Errorf("got %s", got)
	}
	p.send(t, listen(`3`, uri))
	wantAck(t, note(), `3`, uri)
	if got := note(); got != tagged(`3`, k.ID) {
		t.Errorf("of one that has ended: %s", got)
	}
	p.send(t, listen(`4`, "kubbi://00000000-0000-4000-8000-000000000000"))
	if got := note(); !strings.Contains(got, `"id":4`) || !strings.Contains(got, "-32602") || !strings.Contains(got, "no such resource") {
		t.Errorf("nobody's: %s", got)
	}
	if s.watcher.running() {
		t.Error("still watched")
	}
	// The streams that are still open end with stdin.
	p.stdin.Close()
	var ends []string
	for line := range p.lines {
		if !strings.Contains(string(line), `"resultType":"complete"`) {
			t.Errorf("at the end: %s", line)
		}
		ends = append(ends, string(line))
	}
	if len(ends) != 2 {
		t.Errorf("%d streams have ended, want 2", len(ends))
	}
	p.wait(t)
}

// TestListenOverHTTP listens on a stream, which leaves nothing behind.
func TestListenOverHTTP(t *testing.T) {
	h := newHost(t, HTTPConfig{Server: Config{PollEvery: pollEvery}})
	k := send(t, h.client, 1)
	uri := kubbiScheme + k.ID
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url+"/mcp", strings.NewReader(listen(`"a"`, uri)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "subscriptions/listen",
	} {
		req.Header.Set(name, value)
	}
	resp, err := h.hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stream := events(resp.Body)
	wantAck(t, next(t, stream), `"a"`, uri)
	w := h.h.callers.all()[0].server.watcher
	if !w.running() {
		t.Error("nobody watches")
	}
	claim(t, h.client, k.ClaimURL)
	if got := next(t, stream); got != tagged(`"a"`, k.ID) {
		t.Errorf("got %s", got)
	}
	cancel()
	until(t, func() bool { return !w.running() })
}

// TestListenOverSSE keeps the notifications of a stream apart from the session's.
func TestListenOverSSE(t *testing.T) {
	h := newHost(t, HTTPConfig{Server: Config{PollEvery: pollEvery}})
	endpoint, stream := h.sse(t.Context(), t)
	k := send(t, h.client, 2)
	uri := kubbiScheme + k.ID
	h.post(t, endpoint, "", `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"`+uri+`"}}`)
	next(t, stream)
	h.post(t, endpoint, "", listen(`"a"`, uri))
	wantAck(t, next(t, stream), `"a"`, uri)
	claim(t, h.client, k.ClaimURL)
	got := []string{next(t, stream), next(t, stream)}
	slices.Sort(got)
	if want := []string{tagged(`"a"`, k.ID), updated(k.ID)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	h.post(t, endpoint, "", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}`)
	if got := next(t, stream); !strings.Contains(got, `"resultType":"complete"`) {
		t.Errorf("at the end: %s", got)
	}
	claim(t, h.client, k.ClaimURL)
	if got := next(t, stream); got != updated(k.ID) {
		t.Errorf("got %s", got)
	}
}

// TestManyReceipts causes more notifications than a session can buffer. A client that
// reads slowly gets all of them.
func TestManyReceipts(t *testing.T) {
	c, _ := newClient(t)
	s, err := New(Config{Client: c, PollEvery: pollEvery})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.ServeStdio(t.Context(), stdin, stdout) }()
	defer time.AfterFunc(patience, func() { out.Close() }).Stop()
	lines := bufio.NewReader(out)
	write := func(line string) {
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			t.Error(err)
		}
	}
	read := func() string {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	write(initialize)
	read()
	const n = 300
	var sent []*kubbi.Sent
	var uris []string
	for range n {
		k := send(t, c, 1)
		sent, uris = append(sent, k), append(uris, kubbiScheme+k.ID)
		write(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"kubbi://` + k.ID + `"}}`)
		read()
	}
	for _, k := range sent {
		if _, err := c.Delete(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
	}
	until(t, func() bool { return !s.watcher.running() }) // all is sent, and nothing read
	var got []string
	for range n {
		var m struct{ Params struct{ URI string } }
		if err := json.Unmarshal([]byte(read()), &m); err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Params.URI)
	}
	slices.Sort(got)
	slices.Sort(uris)
	if !slices.Equal(got, uris) {
		t.Errorf("got %d receipts, want %d, each once", len(slices.Compact(got)), n)
	}
	in.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
