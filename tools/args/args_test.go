package args

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"kubbi-mcp/internal/testkit"
)

func input(t testing.TB, tool string) *Schema {
	t.Helper()
	s, err := Load(tool)
	if err != nil {
		t.Fatal(err)
	}
	return s.Input
}

// TestLargePayloadIsNotDecoded checks arguments with a large payload: it is neither
// copied nor parsed, unless another argument has to be brought into shape.
func TestLargePayloadIsNotDecoded(t *testing.T) {
	testkit.OnlyPlain(t, "memory is measured, and the race detector takes its own")
	s := input(t, "send")
	call := func(extra string) mcp.CallToolRequest {
		var r mcp.CallToolRequest
		r.Params.RawArguments = json.RawMessage(`{"content":"` + strings.Repeat("x", 8<<20) + `"` + extra + `}`)
		return r
	}
	for extra, most := range map[string]uint64{`,"ttl_seconds":600`: 64 << 10, `,"ttl_seconds":"600"`: 20 << 20} {
		req := call(extra)
		if _, err := s.arguments(req); err != nil {
			t.Fatal(err)
		}
		const calls = 8
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range calls {
			if _, err := s.arguments(req); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / calls; got > most {
			t.Errorf("%s: %d bytes are allocated for a payload of 8 MiB, want at most %d", extra, got, most)
		}
	}
}

// TestFaultsAreBounded has a call with more faults than an error lists.
func TestFaultsAreBounded(t *testing.T) {
	args := `{"` + strings.Repeat("n", 10_000) + `":1,"files":[` + strings.Repeat(`{"role":"boss"},`, 10_000) + `{"role":"boss"}]}`
	err := input(t, "send_files").Check(jsontext.Value(args))
	if err == nil || strings.Count(err.Error(), "must be one of") != maxFaults || len(err.Error()) > 4000 {
		t.Errorf("got %.4100v", err)
	}
}

// FuzzFit checks that arguments that were brought into shape are valid JSON, and
// stay as they are when that is done again.
func FuzzFit(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if !jsontext.Value(in).IsValid() {
			return
		}
		for _, tool := range []string{"send_files", "send", "claim", "list", "request"} {
			s := input(t, tool)
			out, err := s.fit(in)
			if err != nil {
				if _, ours := err.(Error); !ours {
					t.Fatalf("error is %T: %v", err, err)
				}
				continue
			}
			if !out.IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("%s becomes %s", in, out)
			}
			again, err := s.fit(out)
			if err != nil || !bytes.Equal(out, again) {
				t.Fatalf("%s fits as %s, and that as %s, %v", in, out, again, err)
			}
		}
	})
}

var seeds = []string{
	`{"files":[{"name":"a","content":"x","path":null}],"ttlSeconds":"1h"}`, `{"files":"[{\"Name\":1}]","_x":{"a":[1,{}]}}`, `{"metadata":"","sealed":"TRUE","max_retrievals":"1"}`,
	`"{\"files\":{}}"`, `null`, `[1]`, `{"files":[[],"{}",1,null],"files":1}`, `{"type":"kubbi_claim_url","url":"x"}`, `{"claimUrl":{"input_type":"kubbi"},"again":"true"}`, `{"":"","content_type":"\ud83d\ude00"}`,
	`{"message":"m","fields":"A, B"}`, `{"fields":["A",{"name":"B","secret":"false"},"{\"name\":\"C\"}",""],"files":""}`, `{"fields":{"name":["A"],"lines":1}}`,
	`{"ttl_seconds":59}`, `{"ttl_seconds":60.0,"sealed":false}`, `{"ttl_seconds":86401}`, `{"limit":1e2,"page":0,"status":"active"}`, `{"files":[{"role":"data","encoding":"text"}]}`, `{"files":[]}`,
}

// FuzzCheck compares Check with a general engine for JSON Schema, which is told what
// the schemas do not say: no other members, and any value for some.
func FuzzCheck(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	tools := []string{"send_files", "send", "claim", "list", "request"}
	engines := map[string]*jsonschema.Schema{}
	for _, tool := range tools {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(input(f, tool).JSON))
		if err != nil {
			f.Fatal(err)
		}
		strict(doc.(map[string]any))
		c := jsonschema.NewCompiler()
		if err := c.AddResource("mem:///"+tool, doc); err != nil {
			f.Fatal(err)
		}
		if engines[tool], err = c.Compile("mem:///" + tool); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(in))
		var decoded any
		if err != nil || json.Unmarshal(in, &decoded) != nil || !jsontext.Value(in).IsValid() || bytes.Contains(bytes.ToLower(in), []byte("e-")) {
			return // the engine reads 1e400 and 1e-400 exactly, and Check does not
		}
		for _, tool := range tools {
			want, got := engines[tool].Validate(doc), input(t, tool).Check(in)
			if (want == nil) != (got == nil) {
				t.Errorf("%s: %s: Check says %v, the engine %v", tool, in, got, want)
			}
		}
	})
}

func strict(schema map[string]any) {
	if members, ok := schema["properties"].(map[string]any); ok {
		schema["additionalProperties"] = false
		for name, m := range members {
			if name == "content" || name == "metadata" {
				delete(m.(map[string]any), "type")
			} else {
				strict(m.(map[string]any))
			}
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		strict(items)
	}
}
