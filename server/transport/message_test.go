package transport

import (
	"encoding/json"
	"testing"
)

// TestSmallCall checks that what mcp-go gets of a call is small and whole,
// and that the arguments are the very bytes that came in.
func TestSmallCall(t *testing.T) {
	const args = `{"content" : "a\u0000b", "n":1.0}`
	line := []byte(`{"params":{"x":[1, 2],"arguments":` + args + `,"name":"send","_meta":{"progressToken":1}},"method":"tools/call","id":1e2,"jsonrpc":"2.0"}`)
	m, fault := parse(line)
	if fault != nil {
		t.Fatal(fault)
	}
	c := newSession(t.Context(), testConfig().Config, Stdio).newCall(t.Context(), m, nil, nil)
	defer c.cancel()
	if string(c.Arguments) != args {
		t.Errorf("arguments %s, want %s", c.Arguments, args)
	}
	if string(c.ID) != "1e2" {
		t.Errorf("id %s", c.ID)
	}
	const want = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":{},"_meta":{"progressToken":1},"x":[1, 2]}}`
	if got := string(c.small()); got != want {
		t.Errorf("mcp-go gets\n%s, want\n%s", got, want)
	}
}

// FuzzParse checks that no line makes parse panic, that it takes exactly what is
// valid JSON, and that what it passes on is valid JSON with the same id.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		initialize,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":{"content":"x"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}`,
		`{"jsonrpc":"2.0","id":"x","result":{}}`,
		`[{"jsonrpc":"2.0"}]`, `{"id":1,"id":2}`, `{"params":{"Name":"a","name":"b"}}`, "", "\xff", `{"a`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, fault := parse(line)
		if fault != nil && fault.id != nil && !json.Valid(fault.id) {
			t.Errorf("the error's id is %q", fault.id)
		}
		if fault != nil {
			if !json.Valid(encodeError(fault)) {
				t.Error("the error answer is not JSON")
			}
			return
		}
		if !json.Valid(line) {
			t.Fatalf("took %q, which is not JSON", line)
		}
		if m.method == nil {
			return
		}
		out := m.encode()
		if !json.Valid(out) {
			t.Fatalf("passes on %q", out)
		}
		again, fault := parse(out)
		if fault != nil {
			t.Fatalf("refuses what it passes on: %v", fault)
		}
		if string(again.id) != string(m.id) || again.name != m.name {
			t.Errorf("passes on id %s and method %q, got %s and %q", again.id, again.name, m.id, m.name)
		}
	})
}
