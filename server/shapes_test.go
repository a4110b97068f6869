package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// wire is a client that sends raw messages over one transport, after the handshake.
type wire interface {
	// ask sends a message and returns the answer.
	ask(t *testing.T, message string) string
	// tell sends a message that must have no answer.
	tell(t *testing.T, message string)
}

type stdioWire struct{ *peer }

func (w stdioWire) ask(t *testing.T, message string) string {
	t.Helper()
	w.send(t, message)
	return string(w.receive(t))
}

func (w stdioWire) tell(t *testing.T, message string) {
	t.Helper()
	w.send(t, message) // an answer would be taken for that of the next message
}

type streamableWire struct {
	*host
	id string
}

func (w streamableWire) ask(t *testing.T, message string) string {
	t.Helper()
	status, answer := w.host.ask(t, http.MethodPost, "/mcp/", w.id, message)
	if known := !strings.Contains(answer, `"id":null`); known != (status == http.StatusOK) {
		t.Errorf("%.100s: status %d: %s", message, status, answer)
	}
	if _, data, ok := strings.Cut(answer, "data: "); ok {
		return data
	}
	return answer
}

func (w streamableWire) tell(t *testing.T, message string) {
	t.Helper()
	if status, answer := w.host.ask(t, http.MethodPost, "/mcp", w.id, message); status != http.StatusAccepted || answer != "" {
		t.Errorf("%s: %d %s", message, status, answer)
	}
}

type sseWire struct {
	*host
	endpoint string
	stream   <-chan string
}

func (w sseWire) ask(t *testing.T, message string) string {
	t.Helper()
	status, answer := w.host.ask(t, http.MethodPost, w.endpoint, "", message)
	if status != http.StatusAccepted {
		if !strings.Contains(answer, `"id":null`) {
			t.Errorf("%.100s: the answer is not on the stream: %d %s", message, status, answer)
		}
		return answer
	}
	return next(t, w.stream)
}

func (w sseWire) tell(t *testing.T, message string) {
	t.Helper()
	if status, answer := w.host.ask(t, http.MethodPost, w.endpoint, "", message); status != http.StatusAccepted || answer != "" {
		t.Errorf("%s: %d %s", message, status, answer)
	}
}

// onEveryWire runs a test over each transport.
func onEveryWire(t *testing.T, test func(t *testing.T, w wire)) {
	t.Run("stdio", func(t *testing.T) {
		c, _ := newClient(t)
		p := newPeer(t, Config{Client: c})
		p.handshake(t)
		test(t, stdioWire{p})
		p.hangUp(t)
	})
	t.Run("streamable", func(t *testing.T) {
		s := newHost(t, HTTPConfig{})
		test(t, streamableWire{s, s.session(t)})
	})
	t.Run("sse", func(t *testing.T) {
		s := newHost(t, HTTPConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		endpoint, stream := s.sse(ctx, t)
		w := sseWire{s, strings.Replace(endpoint, "/message?", "/message/?", 1), stream}
		w.ask(t, initialize)
		test(t, w)
	})
}

const half = `\ud83d`

// TestOddRequests sends unusual requests, and expects a result or an error under
// their own ids.
func TestOddRequests(t *testing.T) {
	call := func(id, args string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"send","arguments":` + args + `}}`
	}
	type shape struct {
		message, id string
		ok          bool
		says        string
	}
	shapes := map[string]shape{
		"byte order mark":            {"\xef\xbb\xbf" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`, `1`, true, ""},
		"CRLF":                       {`{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\r", `1`, true, ""},
		"half a character":           {call(`1`, `{"content":"keepme `+half+`"}`), `1`, false, "half of a character"},
		"the other half":             {call(`"a"`, `{"content":"\ude00 keepme"}`), `"a"`, false, "half of a character"},
		"two halves, wrong order":    {call(`1`, `{"content":"\ude00\ud83d"}`), `1`, false, "half of a character"},
		"half in a name":             {call(`1`, `{"content":{"`+half+`":1}}`), `1`, false, "params.arguments.content"},
		"half in an argument's name": {call(`1`, `{"`+half+`":"x"}`), `1`, false, "half of a character"},
		"half in a tool's name":      {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + half + `"}}`, `1`, false, ""},
		"half in a method":           {`{"jsonrpc":"2.0","id":1,"method":"` + half + `"}`, `1`, false, ""},
		"half in an id":              {`{"jsonrpc":"2.0","id":"` + half + `","method":"ping"}`, `"` + half + `"`, false, ""},
		"half after the id":          {`{"id":7,"x":"` + half + `","method":"ping","jsonrpc":"2.0"}`, `7`, false, ""},
		"half before the id":         {`{"method":"ping","params":{"x":["` + half + `"]},"jsonrpc":"2.0","id":7}`, `7`, false, ""},
		"not UTF-8":                  {call(`1`, "{\"content\":\"keepme\xe9\"}"), `1`, false, "not UTF-8"},
		"half as raw bytes":          {call(`1`, "{\"content\":\"\xed\xa0\xbd\"}"), `1`, false, "not UTF-8"},
		"not UTF-8 in a method":      {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"caf\xe9\"}", `1`, false, "not UTF-8"},
		"not UTF-8 in an id":         {"{\"jsonrpc\":\"2.0\",\"id\":\"caf\xe9\",\"method\":\"ping\"}", `null`, false, "not UTF-8"},
		"a whole pair":               {call(`1`, `{"content":"\ud83d\ude00"}`), `1`, true, ""},
		"an escaped backslash":       {call(`1`, `{"content":"\\ud83d"}`), `1`, true, ""},
		"broken after the id":        {`{"jsonrpc":"2.0","id":1,"method":"ping"`, `1`, false, "not valid JSON"},
		"a line end in a text":       {call(`1`, "{\"content\":\"a\tb\"}"), `1`, false, "not valid JSON"},
		"NaN":                        {call(`1`, `{"content":NaN}`), `1`, false, "not valid JSON"},
		"broken before the id":       {`{"jsonrpc":"2.0",id:1,"method":"ping"}`, `null`, false, "not valid JSON"},
		"UTF-16":                     {"\xff\xfe" + wide(`{"jsonrpc":"2.0","id":5,"method":"ping"}`), `5`, false, "UTF-16"},
		"UTF-16 without a mark":      {wide(`{"jsonrpc":"2.0","id":5,"method":"ping"}`), `5`, false, "UTF-16"},
		"arguments as a text":        {call(`1`, `" {\"content\":\"x\"} "`), `1`, true, ""},
		"arguments that are no JSON": {call(`1`, `"content=x"`), `1`, false, "no JSON object"},
		"arguments as a text list":   {call(`1`, `"[1]"`), `1`, false, "must be an object"},
		"half in text arguments":     {call(`1`, `"{\"content\":\"\\ud83d\"}"`), `1`, false, ""},
		"an empty text of arguments": {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list","arguments":""}}`, `1`, true, ""},
		"an empty list of arguments": {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list","arguments":[ ]}}`, `1`, true, ""},
		"arguments null":             {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list","arguments":null}}`, `1`, true, ""},
		"odd _meta":                  {`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":[]}}`, `1`, true, ""},
		"_meta that no double holds": {`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"x":1e400,"x":2}}}`, `1`, true, ""},
		"params null":                {`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":null}`, `1`, true, ""},
		"params an empty list":       {`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}`, `1`, true, ""},
		"params an empty text":       {`{"jsonrpc":"2.0","id":1,"method":"ping","params":""}`, `1`, true, ""},
		"params a list":              {`{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}`, `1`, false, "must be an object"},
		"cursor null":                {`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":null}}`, `1`, true, ""},
		"a member twice":             {`{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}`, `1`, false, "twice"},
		"no jsonrpc":                 {`{"id":1,"method":"ping"}`, `1`, false, "2.0"},
		"id null":                    {`{"jsonrpc":"2.0","id":null,"method":"ping"}`, `null`, false, "an id is"},
		"a notification with an id":  {`{"jsonrpc":"2.0","id":1,"method":"notifications/nothing"}`, `1`, false, ""},
	}
	for _, id := range []string{`9007199254740993`, `-9007199254740993`, `12345678901234567890123`, `1.5`, `1.0`, `-0`, `1e3`, `1E400`, `0.1e-2`, `123456789012345`, `"x"`, `""`, `"<&>"`, `" "`} {
		shapes["ping "+id] = shape{`{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}`, id, true, ""}
		shapes["call "+id] = shape{call(id, `{"content":"x"}`), id, true, ""}
		shapes["list "+id] = shape{`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/list"}`, id, true, ""}
		shapes["error "+id] = shape{`{"jsonrpc":"2.0","id":` + id + `,"method":"no/such"}`, id, false, ""}
	}
	onEveryWire(t, func(t *testing.T, w wire) {
		for name, s := range shapes {
			if _, tested := w.(stdioWire); !tested && (name == "CRLF" || strings.HasPrefix(name, "UTF-16")) {
				continue // only stdio has lines
			}
			answer := w.ask(t, s.message)
			var got struct {
				ID     json.RawMessage
				Result json.RawMessage
				Error  *struct{ Message string }
			}
			if err := json.Unmarshal([]byte(answer), &got); err != nil {
				t.Errorf("%s: %v: %.300s", name, err, answer)
				continue
			}
			id, want := compactID(got.ID), s.id
			if id != compactID(json.RawMessage(want)) {
				t.Errorf("%s: answered under %s, want %s: %.300s", name, got.ID, want, answer)
			}
			failed := got.Error != nil || strings.Contains(string(got.Result), `"isError":true`)
			if failed == s.ok || !strings.Contains(answer, s.says) {
				t.Errorf("%s: %.300s", name, answer)
			}
			if strings.Contains(answer, "keepme") {
				t.Errorf("%s: the answer shows content: %.300s", name, answer)
			}
		}
	})
}

// compactID is an id as it came, but for escapes in a text.
func compactID(id json.RawMessage) string {
	var s string
	if json.Unmarshal(id, &s) == nil && string(id) != "null" {
		return fmt.Sprintf("%q", s)
	}
	return string(id)
}

// wide writes ASCII as UTF-16.
func wide(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte(c)
		b.WriteByte(0)
	}
	return b.String()
}

// TestNotificationsGetNoAnswer sends notifications of all kinds. None may be answered.
func TestNotificationsGetNoAnswer(t *testing.T) {
	onEveryWire(t, func(t *testing.T, w wire) {
		for i, n := range []string{
			`{"jsonrpc":"2.0","method":"notifications/initialized","params":null}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized","params":[]}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized","params":[1]}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized","params":"x"}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized","params":5}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized","params":true}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized","params":{"_meta":5}}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized","params":{"x":1e400}}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized","id":null}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized","method":"x"}`,
			`{"method":"notifications/initialized"}`,
			`{"jsonrpc":"1.0","method":"notifications/initialized"}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{"a":1}}}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1e400}}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":null,"reason":5}}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"` + half + `"}}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"requestId":2}}`,
			"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":99,\"reason\":\"caf\xe9\"}}",
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":[]}}`,
			`{"jsonrpc":"2.0","method":"notifications/roots/list_changed","params":[]}`,
			`{"jsonrpc":"2.0","method":"notifications/of/another/kind","params":{"a":` + strings.Repeat(`[`, 500) + strings.Repeat(`]`, 500) + `}}`,
			`{"jsonrpc":"2.0","method":"tools/call","params":{"name":5}}`,
			`{"jsonrpc":"2.0","method":"ping"}`,
			`{"jsonrpc":"2.0","method":"` + strings.Repeat("x", 300) + `"}`,
			`{"jsonrpc":"2.0","method":"` + half + `"}`,
		} {
			w.tell(t, n)
			ping := fmt.Sprintf(`{"jsonrpc":"2.0","id":"after %d","method":"ping"}`, i)
			if answer := w.ask(t, ping); !strings.Contains(answer, fmt.Sprintf(`"after %d"`, i)) {
				t.Fatalf("%s is answered: %s", n, answer)
			}
		}
	})
}

// TestOddInitialize sends the unusual initialize requests of some clients. All are served.
func TestOddInitialize(t *testing.T) {
	h := newHost(t, HTTPConfig{})
	for _, params := range []string{
		`{"protocolVersion":"2025-06-18","capabilities":{}}`,
		`{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":null}`,
		`{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":"some client 1.0"}`,
		`{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":[]}`,
		`{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":5}`,
		`{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x"}}`,
		`{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":1.5,"title":null,"icons":"none","x":{"y":1e400}}}`,
		`{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","name":"y","version":"1"}}`,
		`{"protocolVersion":"2025-06-18","capabilities":null,"clientInfo":{"name":"x","version":"1"}}`,
		`{"protocolVersion":"2025-06-18","capabilities":[],"clientInfo":{"name":"x","version":"1"}}`,
		`{"protocolVersion":"2025-06-18","capabilities":"none"}`,
		`{"protocolVersion":"2025-06-18","capabilities":{"roots":false,"sampling":null,"elicitation":{"form":[]},"experimental":{"a":1e400},"tasks":5,"x":true}}`,
		`{"protocolVersion":"2025-06-18","clientInfo":{"name":"x","version":"1"},"_meta":"x"}`,
		`{"capabilities":{},"clientInfo":{"name":"x","version":"1"}}`,
		`{"protocolVersion":null}`,
		`{"protocolVersion":20250618}`,
		`{"protocolVersion":"DRAFT-2026-v1"}`,
		`{"protocolVersion":""}`,
		`{"protocolVersion":"2026-07-28","capabilities":{}}`,
		`{}`, `null`, `[]`, `""`,
	} {
		c, _ := newClient(t)
		p := newPeer(t, Config{Client: c})
		p.send(t, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+params+`}`)
		var answer struct {
			ID     int
			Result struct{ ProtocolVersion string }
		}
		line := p.receive(t)
		if err := json.Unmarshal(line, &answer); err != nil || answer.ID != 1 || answer.Result.ProtocolVersion < "2024" {
			t.Errorf("%s: %s", params, line)
		}
		if strings.Contains(params, `"2025-06-18"`) && answer.Result.ProtocolVersion != "2025-06-18" {
			t.Errorf("%s: version %s", params, answer.Result.ProtocolVersion)
		}
		if r := p.call(t, "list", `{}`); r.Result.IsError || r.Error != nil {
			t.Errorf("%s: a call after it: %+v", params, r)
		}
		p.hangUp(t)
		status, got := h.ask(t, http.MethodPost, "/mcp", "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+params+`}`)
		if status != http.StatusOK || !strings.Contains(got, `"protocolVersion"`) {
			t.Errorf("%s over HTTP: %d %s", params, status, got)
		}
	}
}

// TestOddMeta sends the unusual _meta of clients without a handshake.
func TestOddMeta(t *testing.T) {
	for meta, served := range map[string]bool{
		`"io.modelcontextprotocol/clientCapabilities":{}`:                                                    true,
		`"io.modelcontextprotocol/clientCapabilities":[]`:                                                    true,
		`"io.modelcontextprotocol/clientCapabilities":null`:                                                  true,
		`"io.modelcontextprotocol/clientCapabilities":{"roots":false,"x":1e400}`:                             true,
		`"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":null`:          true,
		`"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":"some client"`: true,
		`"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"x"}`:  true,
		`"io.modelcontextprotocol/clientCapabilities":{},"progressToken":9007199254740993,"x":1e400`:         true,
		`"io.modelcontextprotocol/clientCapabilities":"none"`:                                                false,
		`"x":1`: false, // they are required
	} {
		c, _ := newClient(t)
		p := newPeer(t, Config{Client: c})
		p.send(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",`+meta+`}}}`)
		if r := parseResult(t, p.receive(t)); (r.Error == nil && !r.Result.IsError) != served {
			t.Errorf("%s: %+v", meta, r)
		}
		p.hangUp(t)
	}
}

// TestEndpointsWithASlash checks that each endpoint may have a slash at the end.
func TestEndpointsWithASlash(t *testing.T) {
	s := newHost(t, HTTPConfig{})
	if status, answer := s.ask(t, http.MethodPost, "/mcp/", "", initialize); status != http.StatusOK {
		t.Errorf("/mcp/: %d %s", status, answer)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if resp := s.open(ctx, t, http.MethodGet, "/sse/", "", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("/sse/: %s", resp.Status)
	}
	if status, _ := s.ask(t, http.MethodGet, "/healthz/", "", ""); status != http.StatusOK {
		t.Errorf("/healthz/: %d", status)
	}
	for _, path := range []string{"/mcp/x", "/mcpx", "/", "/message/x"} {
		if status, _ := s.ask(t, http.MethodPost, path, "", initialize); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// TestContentIsKept sends and claims content that must arrive unchanged, on every
// transport, with and without a handshake.
func TestContentIsKept(t *testing.T) {
	const modern = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"new","version":"1"}}`
	deep := strings.Repeat(`[`, 500) + `-0` + strings.Repeat(`]`, 500)
	contents := []string{
		`{"n":1e400}`, `{"n":-0}`, `[9007199254740993,1.0,1e2,-0.0,0.10]`, `{"a":1,"a":2}`, deep,
		`{"a" : [ 1 ,  2 ]}`, `{"big":123456789012345678901234567890.123456789}`, `{"<&>":"<&>\u2028"}`, `1e400`, `-0`, `9007199254740993`,
	}
	test := func(t *testing.T, meta string, ask func(t *testing.T, message, tool string) string) {
		for _, content := range contents {
			answer := ask(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":{"content":`+content+`,"content_type":"application/json"}`+meta+`}}`, "send")
			m := claimURL.FindStringSubmatch(answer)
			if m == nil {
				t.Errorf("%.100s: send: %.500s", content, answer)
				continue
			}
			answer = ask(t, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"claim","arguments":{"claim_url":"`+m[1]+`"}`+meta+`}}`, "claim")
			var r struct {
				Result struct{ Content []struct{ Text string } }
			}
			if err := json.Unmarshal([]byte(answer), &r); err != nil {
				t.Errorf("%.100s: claim: %v: %.500s", content, err, answer)
			}
			found := false
			for _, block := range r.Result.Content {
				found = found || strings.Contains(block.Text, content)
			}
			if !found {
				t.Errorf("%.100s: claimed as %.1000s", content, answer)
			}
		}
	}
	onEveryWire(t, func(t *testing.T, w wire) {
		test(t, "", func(t *testing.T, message, _ string) string { return w.ask(t, message) })
	})
	t.Run("stdio, modern", func(t *testing.T) {
		c, _ := newClient(t)
		p := newPeer(t, Config{Client: c})
		test(t, modern, func(t *testing.T, message, _ string) string { return stdioWire{p}.ask(t, message) })
		p.hangUp(t)
	})
	t.Run("streamable, modern", func(t *testing.T) {
		s := newHost(t, HTTPConfig{})
		test(t, modern, func(t *testing.T, message, tool string) string { return s.modern(t, "tools/call", tool, message, nil) })
	})
}

// modern makes a request of protocol version 2026-07-28, and gives its answer. name is
// for the Mcp-Name header.
func (s *host) modern(t *testing.T, method, name, message string, header http.Header) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/mcp", strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	for name, value := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Name": name} {
		req.Header.Set(name, value)
	}
	resp, err := s.hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
