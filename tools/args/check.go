package args

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxFaults is how many faults an Error lists.
const maxFaults = 20

// Check gives an Error that lists what breaks the schema, nil if nothing does.
// A member that the schema does not name breaks it too. v must be valid JSON.
func (s *Schema) Check(v jsontext.Value) error {
	var c checker
	c.value(s, bytes.TrimSpace(v), "")
	if c.faults == nil {
		return nil
	}
	slices.Sort(c.faults)
	return Error(strings.Join(c.faults, "; ") + ".")
}

// checker collects faults.
type checker struct{ faults []string }

func (c *checker) fault(at, format string, a ...any) {
	if len(c.faults) == maxFaults {
		return
	}
	if at == "" {
		at = "arguments"
	}
	c.faults = append(c.faults, cut(at, 100)+": "+fmt.Sprintf(format, a...))
}

// value checks the value at a place, such as files.0.role.
func (c *checker) value(s *Schema, v jsontext.Value, at string) {
	if s.any {
		return
	}
	is := typeOf(v)
	if !s.hasType(is) {
		known := ""
		if s.members != nil && at != "" {
			known = " (known: " + strings.Join(s.names, ", ") + ")"
		}
		c.fault(at, "must be %s, is %s%s", strings.Join(s.types, " or "), is, known)
		return
	}
	switch is {
	case "string":
		if s.enum != nil && !slices.Contains(s.enum, unquote(v)) {
			c.fault(at, "must be one of %s", strings.Join(s.enum, ", "))
		}
	case "integer":
		n, _ := strconv.ParseFloat(string(v), 64)
		if s.min != nil && n < *s.min {
			c.fault(at, "must be at least %v", *s.min)
		}
		if s.max != nil && n > *s.max {
			c.fault(at, "must be at most %v", *s.max)
		}
	case "object":
		c.object(s, v, at)
	case "array":
		i := 0
		for item := range items(v) {
			c.value(s.item, item, join(at, strconv.Itoa(i)))
			i++
		}
		if i < s.minItems { // ours ask for one
			c.fault(at, "must not be empty")
		}
	}
}

func (c *checker) object(s *Schema, v jsontext.Value, at string) {
	given := map[string]bool{}
	var unknown []string
	for quoted, value := range members(v) {
		name := unquote(quoted)
		switch m := s.members[name]; {
		case m == nil:
			unknown = append(unknown, name)
		case given[name]:
			c.fault(at, "%s is given twice", name)
		default:
			given[name] = true
			c.value(m, value, join(at, name))
		}
	}
	var missing []string
	for _, name := range s.required {
		if !given[name] {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		c.fault(at, "%s is required", strings.Join(missing, ", "))
	}
	if unknown != nil {
		c.fault(at, "unknown %s%s", quoteNames(unknown), s.suggest(unknown, at == ""))
	}
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// typeOf gives the JSON Schema type of a value. A number that float64 can't hold
// is no integer.
func typeOf(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	if n, err := strconv.ParseFloat(string(v), 64); err == nil && n == math.Trunc(n) {
		return "integer"
	}
	return "number"
}
