package args

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func TestTakeMember(t *testing.T) {
	long := strings.Repeat(`\"\\a`, 30_000)
	for name, tt := range map[string]struct{ in, value, rest string }{
		"string":     {`{"content": "` + long + `","n":1}`, `"` + long + `"`, `{"content":null,"n":1}`},
		"object":     {`{"content":{"a":"` + long + `]}"} , "n" : [ ]}`, `{"a":"` + long + `]}"}`, `{"content":null,"n":[ ]}`},
		"array":      {`{"n":1,"content":[` + strings.Repeat("1,", 9000) + `1]}`, `[` + strings.Repeat("1,", 9000) + `1]`, `{"n":1,"content":null}`},
		"number":     {`{"content":-1e400}`, `-1e400`, `{"content":null}`},
		"escaped":    {`{"\u0063ontent":true}`, `true`, `{"\u0063ontent":null}`},
		"nested":     {`{"files":[{"content":"b"}]}`, ``, `{"files":[{"content":"b"}]}`},
		"spaces":     {strings.Repeat(" ", 5000) + `{ } `, ``, `{}`},
		"no object":  {`["content"]`, ``, `{}`},
		"cut string": {`{"content":"abc`, `"abc`, `{"content":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			value, rest := takeMember(jsontext.Value(tt.in), "content")
			if string(value) != tt.value || string(rest) != tt.rest {
				t.Errorf("got %.100s and %.100s, want %.100s and %.100s", value, rest, tt.value, tt.rest)
			}
		})
	}
}

// rebuild writes a value again from its members and items.
func rebuild(v jsontext.Value) []byte {
	switch v.Kind() {
	case '{':
		out := []byte{'{'}
		for name, value := range members(v) {
			out = appendMember(out, name, rebuild(value))
		}
		return append(out, '}')
	case '[':
		out := []byte{'['}
		for item := range items(v) {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, rebuild(item)...)
		}
		return append(out, ']')
	}
	return v
}

// FuzzScan checks that valid JSON is split into all of its parts, and that other
// input does no harm.
func FuzzScan(f *testing.F) {
	pad := strings.Repeat(" ", 4096)
	for _, s := range []string{`{"a":[1,{"b":"c"}],"content":{"x":1}}`, `{"a":"\\\"","b":tru`, `{"a" :1 , "b": -1.5e3}`, `{`, `{"a`, `{"a":}`} {
		f.Add([]byte(pad + s))
		f.Add([]byte(strings.Replace(s, "1", `"`+strings.Repeat("y", 5000)+`"`, 1)))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out := rebuild(bytes.TrimSpace(in))
		_, _ = takeMember(in, "content")
		if !jsontext.Value(in).IsValid() {
			return
		}
		var a, b any
		if err := jsonv2.Unmarshal(in, &a); err != nil {
			return // a number that no float64 holds
		}
		if err := jsonv2.Unmarshal(out, &b); err != nil {
			t.Fatalf("%s becomes %s: %v", in, out, err)
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if !bytes.Equal(x, y) {
			t.Errorf("%s becomes %s", x, y)
		}
	})
}
