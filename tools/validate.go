package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// validator checks arguments against a tool's input schema, and words what is
// wrong so that a model can mend it; and structured content against the output
// schema. mcp-go's WithInputSchemaValidation and WithOutputSchemaValidation use
// the same engine, but print faults as Go structs, values included, decode a
// whole payload to check it, and throw a result away over a fault in its form,
// even that of a claim that has burned.
type validator struct {
	schema json.RawMessage
	whole  bool      // sees values as they are: nothing is known of the schema
	input  bool      // of a tool of ours: arguments are made to fit
	shape  *shape    // of an input
	once   sync.Once // compiles on the first call, to keep it out of the start
	root   *jsonschema.Schema
	opaque map[string]bool // members whose schema looks no further than their kind
	known  []string        // the top-level members
	err    error
}

// check gives an argumentError that lists every fault, nil if there is none.
func (v *validator) check(args jsontext.Value) error {
	err := v.validate(args)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return argumentError("an argument is given twice.")
	}
	var odd *jsonv2.SemanticError
	if v.input && errors.As(err, &odd) {
		return argumentError(fmt.Sprintf("%s can't be read.", place(string(odd.JSONPointer))))
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	faults := v.faults(invalid, nil)
	sort.Strings(faults)
	return argumentError(strings.Join(faults, "; ") + ".")
}

// validate checks a value as the engine does.
func (v *validator) validate(value jsontext.Value, opts ...jsonv2.Options) error {
	v.once.Do(v.compile)
	if v.err != nil {
		return v.err
	}
	switch {
	case v.input:
		value = v.shape.view(value)
	case !v.whole:
		value = view(value, v.opaque)
	}
	var decoded any
	if err := jsonv2.Unmarshal(value, &decoded, opts...); err != nil {
		return fmt.Errorf("decode for validation: %w", err)
	}
	return v.root.Validate(decoded)
}

func (v *validator) compile() {
	if v.err != nil {
		return
	}
	var shape struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if v.err = json.Unmarshal(v.schema, &shape); v.err != nil {
		return
	}
	v.opaque = make(map[string]bool)
	for name, schema := range shape.Properties {
		v.known = append(v.known, name)
		var p map[string]json.RawMessage // true and false are schemas too
		v.opaque[name] = json.Unmarshal(schema, &p) == nil && p["properties"] == nil && p["items"] == nil
	}
	sort.Strings(v.known)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(v.schema))
	if err != nil {
		v.err = fmt.Errorf("read schema: %w", err)
		return
	}
	if v.input {
		if v.shape, v.err = shapeOf("", v.schema); v.err != nil {
			return
		}
	}
	if schema, ok := doc.(map[string]any); ok && !v.whole {
		strict(schema)
	}
	const name = "mem:///schema.json"
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		v.err = fmt.Errorf("add schema: %w", err)
		return
	}
	v.root, v.err = c.Compile(name)
}

// faults words the leaves of a validation error. Values are not quoted: they
// may be what somebody wants kept secret.
func (v *validator) faults(e *jsonschema.ValidationError, into []string) []string {
	for _, c := range e.Causes {
		into = v.faults(c, into)
	}
	if len(e.Causes) > 0 {
		return into
	}
	at := strings.Join(e.InstanceLocation, ".")
	if at == "" {
		at = "arguments"
	}
	at = cut(at, 100)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return append(into, fmt.Sprintf("%s: %s is required", at, strings.Join(k.Missing, ", ")))
	case *kind.AdditionalProperties:
		return append(into, fmt.Sprintf("%s: unknown %s%s", at, names(k.Properties), v.meant(e.InstanceLocation, k.Properties)))
	case *kind.Type:
		fault := fmt.Sprintf("%s: must be %s, is %s", at, strings.Join(k.Want, " or "), k.Got)
		if s := v.shape.at(e.InstanceLocation); s != nil && s.members != nil && len(e.InstanceLocation) > 0 {
			fault += " (known: " + strings.Join(s.names, ", ") + ")"
		}
		return append(into, fault)
	case *kind.Enum:
		want := make([]string, len(k.Want))
		for i, w := range k.Want {
			want[i] = fmt.Sprint(w)
		}
		return append(into, fmt.Sprintf("%s: must be one of %s", at, strings.Join(want, ", ")))
	case *kind.Minimum:
		return append(into, fmt.Sprintf("%s: must be at least %s", at, k.Want.RatString()))
	case *kind.Maximum:
		return append(into, fmt.Sprintf("%s: must be at most %s", at, k.Want.RatString()))
	case *kind.MinItems: // 1 wherever it stands in ours
		return append(into, fmt.Sprintf("%s: must not be empty", at))
	case *kind.Pattern:
		return append(into, fmt.Sprintf("%s: must match %s", at, k.Want))
	default:
		return append(into, fmt.Sprintf("%s: breaks the rule %s", at, strings.Join(k.KeywordPath(), ".")))
	}
}

// meant says which members there are, and which of them the unknown ones are most
// like.
func (v *validator) meant(at []string, unknown []string) string {
	known := v.known
	if s := v.shape.at(at); s != nil {
		known = s.names
		var near []string
		for _, name := range unknown[:min(len(unknown), 10)] {
			if n := s.nearest(name); n != "" && !slices.Contains(near, n) {
				near = append(near, n)
			}
		}
		if near != nil {
			return fmt.Sprintf(": did you mean %s? (known: %s)", strings.Join(near, ", "), strings.Join(known, ", "))
		}
	} else if len(at) > 0 {
		return ""
	}
	if len(at) > 0 {
		return " (known: " + strings.Join(known, ", ") + ")"
	}
	return " (this tool takes " + strings.Join(known, ", ") + ")"
}

// names lists at most ten unknown names, each cut short: they come from outside.
func names(all []string) string {
	sort.Strings(all)
	var b strings.Builder
	for i, n := range all {
		if i == 10 {
			fmt.Fprintf(&b, " and %d more", len(all)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", cut(n, 60))
	}
	return b.String()
}
