package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// rawArguments gives a call's arguments as JSON. The stdio loop hands them over
// as bytes; other transports may have decoded them.
func rawArguments(r mcp.CallToolRequest) (jsontext.Value, error) {
	if len(r.Params.RawArguments) > 0 {
		return jsontext.Value(r.Params.RawArguments), nil
	}
	switch a := r.Params.Arguments.(type) {
	case nil:
		return jsontext.Value("{}"), nil
	case json.RawMessage:
		return jsontext.Value(a), nil
	default:
		b, err := jsonv2.Marshal(a)
		if err != nil {
			return nil, fmt.Errorf("encode arguments: %w", err)
		}
		return b, nil
	}
}

// payloadInput is an input with a payload of any kind, which is taken as the
// bytes that came in.
type payloadInput interface {
	payload() (member string, into *anyValue)
}

// decode reads arguments that have passed the schema. Names are matched
// exactly; unknown and repeated ones are refused.
func decode(args jsontext.Value, in any) error {
	if p, ok := in.(payloadInput); ok {
		member, into := p.payload()
		into.value, args = takeMember(args, member)
	}
	// A name that is twice in our own arguments was refused by the check.
	err := jsonv2.Unmarshal(args, in, jsonv2.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(true))
	if err == nil {
		return nil
	}
	var wrong argumentError
	if errors.As(err, &wrong) {
		return wrong
	}
	// The text of a decoding error may quote the arguments: say where, not what.
	var at jsontext.Pointer
	var sem *jsonv2.SemanticError
	var syn *jsontext.SyntacticError
	switch {
	case errors.As(err, &syn):
		at = syn.JSONPointer
	case errors.As(err, &sem):
		at = sem.JSONPointer
	}
	switch {
	case errors.Is(err, jsonv2.ErrUnknownName):
		return argumentError(fmt.Sprintf("%s is not an argument of this tool.", place(string(at))))
	default:
		return argumentError(fmt.Sprintf("%s can't be read.", place(string(at))))
	}
}

// argumentError is a fault in the arguments, worded for the model. It never
// quotes a value.
type argumentError string

func (e argumentError) Error() string { return string(e) }

// place names the spot of a JSON pointer.
func place(pointer string) string {
	if pointer == "" {
		return "the arguments object"
	}
	return strconv.Quote(cut(pointer, 200))
}

// whole is an integer that may also be written as 60.0, as hosts do that keep
// every number as a float.
type whole int

// UnmarshalJSONFrom reads a whole number.
func (w *whole) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var f float64
	if err := jsonv2.UnmarshalDecode(dec, &f); err != nil {
		return err
	}
	if f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
		return errors.New("not a whole number of a usable size")
	}
	*w = whole(f)
	return nil
}

// jsonText is a text, or the JSON text of another value: hosts parse what a model
// wrote as text.
type jsonText struct {
	text  string
	given bool
}

// UnmarshalJSONFrom reads any JSON value; null is no text.
func (t *jsonText) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case 'n':
		return dec.SkipValue()
	case '"':
		t.given = true
		return jsonv2.UnmarshalDecode(dec, &t.text)
	}
	v, err := dec.ReadValue()
	t.text, t.given = string(v), true
	return err
}

// object is a JSON object, or its JSON text. It is nil if it is null or "".
type object jsontext.Value

// UnmarshalJSONFrom reads a JSON object.
func (o *object) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	v = v.Clone()
	if text, ok := shortText(v); v.Kind() == 'n' || ok && (text == "" || text == "null") {
		return nil
	}
	if v.Kind() == '[' && len(bytes.TrimSpace(v[1:len(v)-1])) == 0 {
		return nil // an empty object, as PHP writes it
	}
	if text, ok := jsonIn(v); ok {
		v = text
	}
	switch {
	case v.Kind() != '{':
		return argumentError("metadata must be a JSON object, or the text of one.")
	case !v.IsValid():
		return argumentError("metadata has a name twice.")
	}
	*o = object(v)
	return nil
}

// cut shortens a text to at most n bytes, at a character's border.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

// orZero is the number, 0 for nil.
func (w *whole) orZero() int {
	if w == nil {
		return 0
	}
	return int(*w)
}

// orNil gives nil for an absent value, so that it is not taken for a JSON null.
func (o object) orNil() any {
	if o == nil {
		return nil
	}
	return jsontext.Value(o)
}

// maxDepth is how deep metadata may be nested to stand in an answer as a value.
// Hosts lose an answer whose JSON is nested deeper than they read.
const maxDepth = 32

// orNull gives the value for an answer: null when there is none. What is nested too
// deep is given as its JSON text.
func orNull(v json.RawMessage) jsontext.Value {
	switch {
	case len(v) == 0:
		return jsontext.Value("null")
	case nesting(v) > maxDepth:
		return appendString(nil, string(v))
	default:
		return jsontext.Value(v)
	}
}

// nesting is how deep a JSON value is nested, at most: brackets in strings count.
func nesting(v []byte) int {
	depth, most := 0, 0
	for _, c := range v {
		switch c {
		case '{', '[':
			depth++
			most = max(most, depth)
		case '}', ']':
			depth--
		}
	}
	return most
}
