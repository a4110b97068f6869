package args

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"kubbi-mcp/schemas"
)

// Schema is the JSON Schema of a tool's input or output, or of a value in it. It
// knows the keywords that ours use and refuses to load any other.
//
// A general engine would have to decode a payload of megabytes just to learn that
// it is a string, and would put values into its errors.
type Schema struct {
	JSON json.RawMessage // as clients see it

	name     string // of the member; "": the whole
	types    []string
	any      bool // takes every JSON value, whatever the schema says
	enum     []string
	min, max *float64
	minItems int
	required []string
	members  map[string]*Schema // of an object
	folded   map[string]*Schema // the same, by fold of their names
	names    []string           // of members, sorted
	item     *Schema            // of an array
}

// Tool holds the schemas of one tool.
type Tool struct {
	Input  *Schema
	Output *Schema // nil: the result has no structured content
}

var (
	loadMu sync.Mutex
	loaded = map[string]*Tool{}
)

// Load gives the schemas of a tool, which never change. The name has no prefix.
func Load(tool string) (*Tool, error) {
	loadMu.Lock()
	defer loadMu.Unlock()
	if t := loaded[tool]; t != nil {
		return t, nil
	}
	input, err := schemas.Input(tool)
	if err != nil {
		return nil, err
	}
	t := &Tool{}
	if t.Input, err = parse("", input); err != nil {
		return nil, err
	}
	output, err := schemas.Output(tool)
	if err == nil {
		t.Output, err = parse("", output)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	loaded[tool] = t
	return t, nil
}

// acceptsAny are the arguments that take any JSON value. Their schemas say string,
// since some hosts know no schema for "any value".
var acceptsAny = []string{"content", "metadata"}

func parse(name string, schema json.RawMessage) (*Schema, error) {
	var s struct {
		Type        json.RawMessage            `json:"type"`
		Description string                     `json:"description"`
		Enum        []string                   `json:"enum"`
		Minimum     *float64                   `json:"minimum"`
		Maximum     *float64                   `json:"maximum"`
		MinItems    int                        `json:"minItems"`
		Required    []string                   `json:"required"`
		Properties  map[string]json.RawMessage `json:"properties"`
		Items       json.RawMessage            `json:"items"`
	}
	dec := json.NewDecoder(bytes.NewReader(schema))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	out := &Schema{JSON: schema, name: name, enum: s.Enum, min: s.Minimum, max: s.Maximum, minItems: s.MinItems, required: s.Required}
	var one string
	if json.Unmarshal(s.Type, &one) == nil {
		out.types = []string{one}
	} else if s.Type != nil && json.Unmarshal(s.Type, &out.types) != nil {
		return nil, fmt.Errorf("read schema: the type of %q can't be read", name)
	}
	out.any = slices.Contains(acceptsAny, name) || len(out.types) == 0
	if s.Items != nil {
		var err error
		if out.item, err = parse(name, s.Items); err != nil {
			return nil, err
		}
	}
	if s.Properties == nil {
		return out, nil
	}
	out.members, out.folded = make(map[string]*Schema), make(map[string]*Schema)
	for name, schema := range s.Properties {
		member, err := parse(name, schema)
		if err != nil {
			return nil, err
		}
		out.members[name], out.folded[fold(name)] = member, member
		out.names = append(out.names, name)
	}
	slices.Sort(out.names)
	return out, nil
}

func (s *Schema) hasType(name string) bool { return slices.Contains(s.types, name) }

// fold makes the spellings of a name equal: max_retrievals, maxRetrievals,
// max-retrievals.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}
