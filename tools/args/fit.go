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
	for quoted, value := range members(object) {
		name := unquote(quoted)
		m := s.folded[fold(name)]
		if m == nil {
			if !strings.HasPrefix(name, "_") && !(top && slices.Contains(hostNames, fold(name))) {
				out = appendMember(out, quoted, value) // Check reports it
			}
			continue
		}
		fitted, err := m.fitValue(value)
		if err != nil {
			return nil, err
		}
		if fitted == nil {
			continue
		}
		switch other, twice := given[m.name]; {
		case twice && other == name:
			return nil, errorf("%q is given twice.", cut(name, 60))
		case twice:
			return nil, errorf("%q and %q are the same argument: give one of them.", cut(other, 60), cut(name, 60))
		}
		given[m.name] = name
		out = appendMember(out, strconv.AppendQuote(nil, m.name), fitted)
	}
	return append(out, '}'), nil
}

// fitValue gives a value as the schema wants it, nil for a value that stands for an absent
// argument.
func (s *Schema) fitValue(v jsontext.Value) (jsontext.Value, error) {
	if v.Kind() == 'n' {
		return nil, nil
	}
	if s.any {
		return v, nil
	}
	text, short := shortText(v)
	if short && (text == "" || text == "null" && (s.types[0] != "string" || s.enum != nil)) {
		return nil, nil
	}
	switch s.types[0] {
	case "string":
		if short {
			return s.fitWord(text, v), nil
		}
		kind := v.Kind()
		if kind == '0' || s.name == "claim_url" && (kind == '{' || kind == '[') { // agents pass one on in an object
			return quote(v), nil
		}
	case "integer", "boolean":
		return s.fitScalar(text, v), nil
	case "array":
		if list, ok := jsonIn(v); ok {
			v = list
		}
		if v.Kind() == '[' {
			return s.fitItems(v)
		}
		item, err := s.item.fitValue(v)
		if err != nil || s.item.hasType(typeOf(item)) { // one item, without a list around it
			return slices.Concat([]byte("["), item, []byte("]")), err
		}
	case "object":
		if object, ok := jsonIn(v); ok {
			v = object
		} else if short && len(s.required) == 1 && s.members[s.required[0]].hasType("string") {
			v = append(appendMember([]byte("{"), strconv.AppendQuote(nil, s.required[0]), v), '}')
		}
		if v.Kind() == '{' {
			return s.fitObject(v, false)
		}
	}
	return v, nil
}

func (s *Schema) fitItems(list jsontext.Value) (jsontext.Value, error) {
	out := append(make([]byte, 0, len(list)+64), '[')
	for item := range items(list) {
		fitted, err := s.item.fitValue(item)
		if err != nil {
			return nil, err
		}
		if fitted == nil {
			fitted = item // an item can't be absent
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, fitted...)
	}
	return append(out, ']'), nil
}

// fitWord reads a word of an enum, or another short text that can be spelled in several
// ways. It gives v for every other text, and nil for a word that says nothing.
func (s *Schema) fitWord(text string, v jsontext.Value) jsontext.Value {
	if read := spellings[s.name]; read != nil {
		if text = read(text); text == "" {
			return nil
		}
		return quote([]byte(text))
	}
	for _, word := range s.enum {
		if strings.EqualFold(text, word) {
			return quote([]byte(word))
		}
	}
	return v
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
	is := func(name, value string) bool {
		for quoted, v := range members(args) {
			if text, _ := shortText(v); unquote(quoted) == name && text == value {
				return true
			}
		}
		return false
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
