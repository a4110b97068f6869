package tools

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/schemas"
	"kubbi-mcp/tools/args"
)

var update = flag.Bool("update", false, "rewrite the golden files in schemas/")

// TestSchemas infers every schema from the structs and compares it with its
// golden file, which is what the server shows.
func TestSchemas(t *testing.T) {
	for name, s := range inferred(t) {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			file := filepath.Join("..", "schemas", name+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			tool, direction, _ := strings.Cut(name, ".")
			read := schemas.Input
			if direction == "output" {
				read = schemas.Output
			}
			want, err := read(tool)
			if err != nil {
				t.Fatalf("%v; make it with go test ./tools -update", err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s does not match the structs; if that is meant, run go test ./tools -update\n%s", file, diff)
			}
		})
	}
}

// TestSchemasAreComplete refuses a golden file that belongs to no tool.
func TestSchemasAreComplete(t *testing.T) {
	files, err := filepath.Glob("../schemas/*.json")
	if err != nil {
		t.Fatal(err)
	}
	want := inferred(t)
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		if want[name] == nil {
			t.Errorf("%s belongs to no tool", f)
		}
	}
	if len(files) != len(want) {
		t.Errorf("%d golden files, want %d", len(files), len(want))
	}
}

// inferred makes all schemas from the structs. It adds what a Go type can't say (ranges and
// words), from kubbi/api if that has it.
func inferred(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	limits := api.DefaultLimits()
	lifetime := func(s *jsonschema.Schema) *jsonschema.Schema {
		p := s.Properties
		p["ttl_seconds"].Minimum = number(limits.MinTTLSeconds)
		p["ttl_seconds"].Maximum = number(limits.MaxTTLSeconds)
		p["max_retrievals"].Minimum = number(1)
		return s
	}
	send := lifetime(input[sendInput](t))
	send.Properties["content_type"].Enum = words(api.ContentTypes...)

	sendFiles := lifetime(input[sendFilesInput](t))
	sendFiles.Properties["files"].MinItems = new(1)
	file := sendFiles.Properties["files"].Items.Properties
	file["role"].Enum = words(api.Roles...)
	file["encoding"].Enum = words(args.EncodingText, api.EncodingBase64)

	request := input[requestInput](t)
	request.Properties["ttl_seconds"].Minimum = number(limits.MinTTLSeconds)
	request.Properties["ttl_seconds"].Maximum = number(limits.MaxTTLSeconds)

	inspect, get := input[inspectInput](t), input[getInput](t)
	for _, s := range []*jsonschema.Schema{inspect, get} {
		s.Properties["wait_seconds"].Minimum = number(0)
		s.Properties["wait_seconds"].Maximum = number(api.MaxWait)
	}
	claim := input[claimInput](t)
	claim.Properties["images"].Enum = words(imagesSave, imagesInline)
	id := input[idInput](t)

	list := input[listInput](t)
	list.Properties["page"].Minimum = number(1)
	list.Properties["limit"].Minimum = number(1)
	list.Properties["limit"].Maximum = number(api.MaxPageLimit)
	for _, s := range api.KubbiStatuses {
		list.Properties["status"].Enum = append(list.Properties["status"].Enum, string(s))
	}

	return map[string]*jsonschema.Schema{
		"send.input": send, "send.output": output[sendOutput](t),
		"send_files.input": sendFiles, "send_files.output": output[sendFilesOutput](t),
		"inspect.input": inspect, "inspect.output": output[inspectOutput](t),
		"claim.input":   claim,
		"request.input": request, "request.output": output[requestOutput](t),
		"get.input": get, "get.output": either(output[getOutput](t), output[askedOutput](t)),
		"list.input": list, "list.output": output[listOutput](t),
		"delete.input": id, "delete.output": output[deleteOutput](t),
	}
}

func input[T any](t *testing.T) *jsonschema.Schema {
	t.Helper()
	s := infer[T](t)
	walk(s, func(s *jsonschema.Schema) {
		dropNull(s, true)
		s.AdditionalProperties = nil // checked, and not advertised: some hosts refuse it
	})
	return s
}

func output[T any](t *testing.T) *jsonschema.Schema {
	t.Helper()
	s := infer[T](t)
	walk(s, func(s *jsonschema.Schema) {
		dropNull(s, slices.Contains(s.Types, "array"))
		for name, p := range s.Properties {
			dropNull(p, !slices.Contains(s.Required, name)) // it is left out instead
		}
		s.AdditionalProperties = nil // a later version may add a member
	})
	return s
}

// either makes a schema for two kinds of results: only what both require is required.
func either(a, b *jsonschema.Schema) *jsonschema.Schema {
	for _, name := range b.PropertyOrder {
		if a.Properties[name] == nil {
			a.Properties[name] = b.Properties[name]
			a.PropertyOrder = append(a.PropertyOrder, name)
		}
	}
	a.Required = slices.DeleteFunc(a.Required, func(name string) bool { return !slices.Contains(b.Required, name) })
	return a
}

func infer[T any](t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.For[T](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[args.Any]():        {Type: "string"}, // see acceptsAny in args
		reflect.TypeFor[args.Text]():       {Type: "string"},
		reflect.TypeFor[args.Object]():     {Type: "string"},
		reflect.TypeFor[jsontext.Value]():  {},
		reflect.TypeFor[json.RawMessage](): {},
		reflect.TypeFor[args.Int]():        {Type: "integer"},
		reflect.TypeFor[api.Time]():        {Type: "string"},
		reflect.TypeFor[remaining]():       {Types: []string{"integer", "string"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dropNull removes null from a type: optional members are left out, and our lists are never
// null.
func dropNull(s *jsonschema.Schema, drop bool) {
	if drop && len(s.Types) == 2 && s.Types[0] == "null" {
		s.Type, s.Types = s.Types[1], nil
	}
}

func walk(s *jsonschema.Schema, f func(*jsonschema.Schema)) {
	f(s)
	for _, p := range s.Properties {
		walk(p, f)
	}
	if s.Items != nil {
		walk(s.Items, f)
	}
}

func number(n int) *float64 { return new(float64(n)) }

func words(w ...string) []any {
	out := make([]any, len(w))
	for i := range w {
		out[i] = w[i]
	}
	return out
}

// TestNoBooleanSchemas refuses a property whose schema is true: the first generation of the
// TypeScript SDK would refuse the whole list of tools.
func TestNoBooleanSchemas(t *testing.T) {
	for name, s := range inferred(t) {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var schema map[string]any
		if err := json.Unmarshal(b, &schema); err != nil {
			t.Fatal(err)
		}
		noBooleanSchemas(t, name, schema)
	}
}

func noBooleanSchemas(t *testing.T, path string, schema map[string]any) {
	t.Helper()
	properties, _ := schema["properties"].(map[string]any)
	if items, ok := schema["items"]; ok {
		properties = map[string]any{"[]": items}
	}
	for name, property := range properties {
		p, ok := property.(map[string]any)
		if !ok {
			t.Errorf("%s.%s: the schema is %v; describe the field", path, name, property)
			continue
		}
		noBooleanSchemas(t, path+"."+name, p)
	}
}

// TestNoEnumOfOne refuses an optional argument with one possible value: models of strict
// hosts must give every argument, and could not say that they mean nothing.
func TestNoEnumOfOne(t *testing.T) {
	for name, s := range inferred(t) {
		if !strings.HasSuffix(name, ".input") {
			continue
		}
		walk(s, func(s *jsonschema.Schema) {
			if len(s.Enum) == 1 {
				t.Errorf("%s: a member takes %v alone", name, s.Enum)
			}
		})
	}
}
