package tools

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Hosts and models send arguments in other shapes than the schema has: null or ""
// for what is left out, numbers as strings, lists as JSON text, maxRetrievals for
// max_retrievals. fit makes them fit where they have one reading. It looks at
// nothing that fits already: see validator.arguments.

// longestRead is the longest string, in bytes, that is read as something else than
// a string, other than JSON text.
const longestRead = 200

// fit gives the arguments in the shape of the schema, as far as they can be read
// so. What can't is left as it is, for the check to name.
func (s *shape) fit(args jsontext.Value) (jsontext.Value, error) {
	args = bytes.TrimSpace(args)
	switch args.Kind() {
	case 'n':
		return jsontext.Value("{}"), nil
	case '"':
		text, ok := jsonIn(args)
		if !ok {
			return args, nil
		}
		args = text
	}
	if args.Kind() != '{' {
		return args, nil
	}
	return s.fitObject(s.unwrapLink(args), true)
}

func (s *shape) fitObject(object jsontext.Value, top bool) (jsontext.Value, error) {
	out := append(make([]byte, 0, len(object)+64), '{')
	given := map[string]string{} // the spelling of each member that is there
	var failed error
	eachMember(object, func(quoted, value []byte) {
		name := memberName(quoted)
		m := s.members[name]
		if m == nil {
			m = s.folded[fold(name)]
		}
		switch {
		case m == nil && (strings.HasPrefix(name, "_") || top && addedByHost(name)), failed != nil:
			return
		case m != nil:
			fitted, ok, err := m.fitValue(value)
			if err != nil {
				failed = err
			}
			if !ok {
				return // absent
			}
			if other, twice := given[m.name]; twice && other == name {
				failed = argumentError(fmt.Sprintf("%q is given twice.", cut(name, 60)))
			} else if twice {
				failed = argumentError(fmt.Sprintf("%q and %q are the same argument: give one of them.", cut(other, 60), cut(name, 60)))
			}
			given[m.name] = name
			quoted, value = strconv.AppendQuote(nil, m.name), fitted
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, quoted...), ':'), value...)
	})
	return append(out, '}'), failed
}

// fitValue gives a value as the schema wants it. Not ok: it stands for nothing.
func (s *shape) fitValue(v jsontext.Value) (_ jsontext.Value, ok bool, _ error) {
	kind := v.Kind()
	if kind == 'n' {
		return nil, false, nil
	}
	if s.any {
		return v, true, nil
	}
	switch s.kind {
	case "string":
		return s.fitString(v)
	case "integer", "boolean":
		text, ok := shortText(v)
		if !ok {
			return v, true, nil
		}
		if text == "" || text == "null" {
			return nil, false, nil
		}
		return s.fitScalar(text, v), true, nil
	case "array":
		if kind == '"' {
			if text, ok := shortText(v); ok && (text == "" || text == "null") {
				return nil, false, nil
			}
			if text, ok := jsonIn(v); ok {
				v, kind = text, text.Kind()
			}
		}
		switch kind {
		case '{': // one item
			item, _, err := s.item.fitValue(v)
			return append(append([]byte("["), item...), ']'), true, err
		case '[':
			return s.fitItems(v)
		}
	case "object":
		if text, ok := jsonIn(v); ok {
			v = text
		}
		if v.Kind() == '{' && s.members != nil {
			fitted, err := s.fitObject(v, false)
			return fitted, true, err
		}
	}
	return v, true, nil
}

func (s *shape) fitItems(list jsontext.Value) (_ jsontext.Value, ok bool, failed error) {
	out := append(make([]byte, 0, len(list)+64), '[')
	eachItem(list, func(v []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		fitted, ok, err := s.item.fitValue(v)
		if !ok {
			fitted = v // a list has no item that is absent
		}
		if failed == nil {
			failed = err
		}
		out = append(out, fitted...)
	})
	return append(out, ']'), true, failed
}

func (s *shape) fitString(v jsontext.Value) (jsontext.Value, bool, error) {
	switch v.Kind() {
	case '0':
		return quote(v), true, nil
	case '{', '[':
		if s.name == "claim_url" { // agents pass one on in an object
			return quote(v), true, nil
		}
		return v, true, nil
	case '"':
		text, ok := shortText(v)
		if !ok {
			return v, true, nil
		}
		if text == "" || text == "null" && s.words != nil {
			return nil, false, nil
		}
		if read := spellings[s.name]; read != nil {
			text = read(text)
			return quote([]byte(text)), text != "", nil
		}
		for _, w := range s.words {
			if strings.EqualFold(text, w) {
				return quote([]byte(w)), true, nil
			}
		}
	}
	return v, true, nil
}

// fitScalar reads a number or a boolean in a text; v is what it gives if it is
// none.
func (s *shape) fitScalar(text string, v jsontext.Value) jsontext.Value {
	if s.kind == "boolean" {
		if low := strings.ToLower(text); low == "true" || low == "false" {
			return jsontext.Value(low)
		}
		return v
	}
	if s.name == "ttl_seconds" {
		if seconds, ok := readDuration(text); ok {
			return strconv.AppendInt(nil, seconds, 10)
		}
	}
	if n := jsontext.Value(text); n.IsValid() && n.Kind() == '0' {
		if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) <= math.MaxInt32 {
			return n
		}
	}
	return v
}

// unwrapLink takes a claim URL out of the objects in which agents pass one on,
// where such an object stands in place of the arguments.
func (s *shape) unwrapLink(args jsontext.Value) jsontext.Value {
	if s.members["claim_url"] == nil {
		return args
	}
	is := func(member, value string) bool {
		v, _ := takeMember(args, member)
		text, _ := shortText(v)
		return text == value
	}
	switch {
	case is("input_type", "kubbi"):
		return renameMember(args, "input_type", "_input_type")
	case is("type", "kubbi_claim_url"):
		return renameMember(renameMember(args, "type", "_type"), "url", "claim_url")
	}
	return args
}

func renameMember(object jsontext.Value, from, to string) jsontext.Value {
	out := []byte{'{'}
	eachMember(object, func(name, v []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		if memberName(name) == from {
			name = strconv.AppendQuote(nil, to)
		}
		out = append(append(append(out, name...), ':'), v...)
	})
	return append(out, '}')
}

// shortText gives the text of a short string, without the space around it.
func shortText(v jsontext.Value) (string, bool) {
	if v.Kind() != '"' || len(v) > longestRead {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, v)
	return string(bytes.TrimSpace(text)), err == nil
}

// jsonIn gives the object or list whose JSON text a string is.
func jsonIn(v jsontext.Value) (jsontext.Value, bool) {
	if v.Kind() != '"' {
		return nil, false
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return nil, false
	}
	in := jsontext.Value(bytes.TrimSpace(text))
	if k := in.Kind(); k != '{' && k != '[' || !in.IsValid(jsontext.AllowDuplicateNames(true)) {
		return nil, false
	}
	return in, true
}

func quote(text []byte) jsontext.Value {
	quoted, err := jsontext.AppendQuote(nil, text)
	if err != nil { // it is not valid UTF-8: the check names the member
		return jsontext.Value(`""`)
	}
	return quoted
}
