package tools

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func TestView(t *testing.T) {
	long := strings.Repeat("a", 100_000)
	short := strings.Repeat("x", viewLimit)
	opaque := map[string]bool{"content": true, "metadata": true}
	for name, tt := range map[string]struct{ in, want string }{
		"short":            {`{"content": "a", "n": [1, 2]}`, `{"content":"a","n":[1, 2]}`},
		"short and opaque": {`{"content": {"a":1,"a":1e400}}`, `{"content":{}}`},
		"too large":        {`{"content":-1e400}`, `{"content":-1.7976931348623157e+308}`},
		"string":           {`{"content":"` + long + `","n":1}`, `{"content":"` + short + `","n":1}`},
		"escaped":          {`{"content":"` + strings.Repeat(`\"\\`, 3000) + `","n":1}`, `{"content":"` + short + `","n":1}`},
		"opaque array":     {`{"n":1,"content":[` + strings.Repeat("1,", 9000) + `1]}`, `{"n":1,"content":[]}`},
		"opaque object":    {`{"content":{"a":"` + long + `]}"} , "n" : [ ]}`, `{"content":{},"n":[ ]}`},
		"nested":           {`{"files":[{"name":"n","content":"` + long + `"},{"content":"b"}]}`, `{"files":[{"name":"n","content":"` + short + `"},{"content":"b"}]}`},
		"name":             {`{"` + long + `":1}`, `{"` + short + `":1}`},
		"number":           {`{"n":` + strings.Repeat("1", 5000) + `}`, `{"n":` + strings.Repeat("1", 5000) + `}`},
		"not an object":    {`["` + long + `"]`, `["` + long + `"]`},
		"empty and spaces": {strings.Repeat(" ", 5000) + `{ } `, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(view(jsontext.Value(tt.in), opaque)); got != tt.want {
				t.Errorf("got %.300s… (%d bytes), want %.300s… (%d bytes)", got, len(got), tt.want, len(tt.want))
			}
		})
	}
}

// FuzzView checks that a view of valid JSON is valid JSON of the same shape, and
// that one of anything else does no harm.
func FuzzView(f *testing.F) {
	pad := strings.Repeat(" ", viewLimit)
	for _, s := range []string{`{"a":[1,{"b":"c"}],"content":{"x":1}}`, `{"a":"\\\"","b":tru`, `{"a" :1 , "b": -1.5e3}`, `{`, `{"a`, `{"a":}`} {
		f.Add([]byte(pad + s))
		f.Add([]byte(strings.Replace(s, "1", `"`+strings.Repeat("y", 5000)+`"`, 1)))
	}
	opaque := map[string]bool{"content": true}
	f.Fuzz(func(t *testing.T, in []byte) {
		out := view(in, opaque)
		if !jsontext.Value(in).IsValid() {
			return
		}
		if !jsontext.Value(out).IsValid(jsontext.AllowDuplicateNames(true)) {
			t.Fatalf("view of valid JSON is %q", out)
		}
		if bytes.Contains(out, []byte("xxxx")) || bytes.Contains(in, []byte("content")) {
			return // shortened
		}
		var a, b any
		if err := jsonv2.Unmarshal(in, &a); err != nil {
			t.Fatal(err)
		}
		if err := jsonv2.Unmarshal(out, &b); err != nil {
			t.Fatal(err)
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if !bytes.Equal(x, y) {
			t.Errorf("view changes %s to %s", x, y)
		}
	})
}
