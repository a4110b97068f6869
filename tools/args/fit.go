package args

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxShort is the longest string, in bytes, that may stand for a number, a boolean
// or nothing.
const maxShort = 200

// hostNames are arguments that hosts add to every call, folded. Names that could be
// meant for us are not among them: "expires_in" must not be dropped.
var hostNames = []string{
	"waitforprevious", "waitforprevioustools", "toolsummary", "toolaction", // Gemini CLI, Antigravity
	"sessionid", "action", "chatinput", "toolcallid", "tool", "toolname", // n8n, LangChain
	"securitycontext",                   // CrewAI
	"securityrisk",                      // OpenHands
	"requestheartbeat", "innerthoughts", // Letta
	"randomstring", "dummy", // Cursor, for tools without required arguments
	"taskprogress",          // Cline
	"explanation", "reason", // Windsurf, Kiro, Claude Code
	"runmanager", "callbacks", "config", "runtime", // LangChain
	"cancellationtoken", "toolcontext", "requestid", "progresstoken", "signal", // AutoGen, ADK, SDKs
}

// fit brings arguments into the shape of the schema. A value without a single meaning
// stays as it is, and Check then reports it.
func (s *Schema) fit(args jsontext.Value) (jsontext.Value, error) {
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
	return s.fitObject(s.unwrapClaimURL(args), true)
}

func (s *Schema) fitObject(object jsontext.Value, top bool) (jsontext.Value, error) {
	out := append(make([]byte, 0, len(object)+64), '{')
	given := map[string]string{} // the name in the schema, and as it was written
	var failed error
	eachMember(object, func(quoted, value []byte) {
		name := unquote(quoted)
		m := s.members[name]
		if m == nil {
			m = s.folded[fold(name)]
		}
		switch {
		case failed != nil:
			return
		case m == nil && (strings.HasPrefix(name, "_") || top && slices.Contains(hostNames, fold(name))):
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
				failed = errorf("%q is given twice.", cut(name, 60))
			} else if twice {
				failed = errorf("%q and %q are the same argument: give one of them.", cut(other, 60), cut(name, 60))
			}
			given[m.name] = name
			quoted, value = strconv.AppendQuote(nil, m.name), fitted
		}
		out = appendMember(out, quoted, value)
	})
	return append(out, '}'), failed
}

// fitValue gives a value as the schema wants it. ok is false for a value that
// stands for an absent argument.
func (s *Schema) fitValue(v jsontext.Value) (_ jsontext.Value, ok bool, _ error) {
	switch {
	case v.Kind() == 'n':
		return nil, false, nil
	case s.any:
		return v, true, nil
	}
	switch s.types[0] {
	case "string":
		fitted, ok := s.fitString(v)
		return fitted, ok, nil
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
		if text, ok := shortText(v); ok && (text == "" || text == "null") {
			return nil, false, nil
		}
		if text, ok := jsonIn(v); ok {
			v = text
		}
		switch v.Kind() {
		case '{': // one item
			item, _, err := s.item.fitValue(v)
			return append(append([]byte("["), item...), ']'), true, err
		case '[':
			return s.fitItems(v)
		case '"': // one item
			item, ok := jsontext.Value(v), s.item.hasType("string")
			if !ok {
				item, ok = s.item.fitMain(v)
			}
			if ok {
				return append(append([]byte("["), item...), ']'), true, nil
			}
		}
	case "object":
		if text, ok := jsonIn(v); ok {
			v = text
		} else if object, ok := s.fitMain(v); ok {
			v = object
		}
		if v.Kind() == '{' && s.members != nil {
			fitted, err := s.fitObject(v, false)
			return fitted, true, err
		}
	}
	return v, true, nil
}

// fitMain gives the object for which a string stands alone: the one whose only required
// member, a string, it is.
func (s *Schema) fitMain(v jsontext.Value) (jsontext.Value, bool) {
	if v.Kind() != '"' || s.members == nil || len(s.required) != 1 {
		return nil, false
	}
	name := s.required[0]
	if text, ok := shortText(v); !ok || text == "" || !s.members[name].hasType("string") {
		return nil, false
	}
	return append(appendMember([]byte("{"), strconv.AppendQuote(nil, name), v), '}'), true
}

func (s *Schema) fitItems(list jsontext.Value) (_ jsontext.Value, ok bool, failed error) {
	out := append(make([]byte, 0, len(list)+64), '[')
	eachItem(list, func(v []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		fitted, ok, err := s.item.fitValue(v)
		if !ok {
			fitted = v // an item can't be absent
		}
		if failed == nil {
			failed = err
		}
		out = append(out, fitted...)
	})
	return append(out, ']'), true, failed
}

func (s *Schema) fitString(v jsontext.Value) (jsontext.Value, bool) {
	switch v.Kind() {
	case '0':
		return quote(v), true
	case '{', '[':
		if s.name == "claim_url" { // agents pass one on in an object
			return quote(v), true
		}
	case '"':
		text, ok := shortText(v)
		if !ok {
			return v, true
		}
		if text == "" || text == "null" && s.enum != nil {
			return nil, false
		}
		if read := spellings[s.name]; read != nil {
			text = read(text)
			return quote([]byte(text)), text != ""
		}
		for _, word := range s.enum {
			if strings.EqualFold(text, word) {
				return quote([]byte(word)), true
			}
		}
	}
	return v, true
}

// fitScalar reads a number or a boolean from a text. It gives v if there is none.
func (s *Schema) fitScalar(text string, v jsontext.Value) jsontext.Value {
	if s.types[0] == "boolean" {
		if low := strings.ToLower(text); low == "true" || low == "false" {
			return jsontext.Value(low)
		}
		return v
	}
	if strings.HasSuffix(s.name, "_seconds") {
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

// unwrapClaimURL accepts the objects in which agents pass a claim URL on, if such an
// object is given instead of the arguments.
func (s *Schema) unwrapClaimURL(args jsontext.Value) jsontext.Value {
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

// shortText gives the text of a short string, without the space around it.
func shortText(v jsontext.Value) (string, bool) {
	if v.Kind() != '"' || len(v) > maxShort {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, v)
	return string(bytes.TrimSpace(text)), err == nil
}

// jsonIn gives the object or list that a string holds as JSON text.
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
	if err != nil { // it is not valid UTF-8, and Check reports the argument
		return jsontext.Value(`""`)
	}
	return quoted
}
