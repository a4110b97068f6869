package args

import (
	"bytes"
	"errors"
	"math"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Int is an integer. It may also be written as 60.0: some hosts keep every number
// as a float.
type Int int

// UnmarshalJSONFrom reads a whole number.
func (n *Int) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var f float64
	if err := jsonv2.UnmarshalDecode(dec, &f); err != nil {
		return err
	}
	if f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
		return errors.New("not a whole number of a usable size")
	}
	*n = Int(f)
	return nil
}

// Text is a string, or the JSON text of another value: some hosts parse what a
// model wrote as a string.
type Text struct {
	String string
	Given  bool
}

// UnmarshalJSONFrom reads any JSON value. null counts as not given.
func (t *Text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case 'n':
		return dec.SkipValue()
	case '"':
		t.Given = true
		return jsonv2.UnmarshalDecode(dec, &t.String)
	}
	v, err := dec.ReadValue()
	t.String, t.Given = string(v), true
	return err
}

// Object is a JSON object, or a string that holds one. It is nil for null and "".
type Object jsontext.Value

// UnmarshalJSONFrom reads a JSON object.
func (o *Object) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	v = v.Clone()
	if text, ok := shortText(v); v.Kind() == 'n' || ok && (text == "" || text == "null") {
		return nil
	}
	if v.Kind() == '[' && len(bytes.TrimSpace(v[1:len(v)-1])) == 0 {
		return nil // PHP writes an empty object as []
	}
	if text, ok := jsonIn(v); ok {
		v = text
	}
	switch {
	case v.Kind() != '{':
		return Error("metadata must be a JSON object, or the text of one.")
	case !v.IsValid():
		return Error("metadata has a name twice.")
	}
	*o = Object(v)
	return nil
}

// OrNil gives nil for an absent object, so that it does not count as JSON's null.
func (o Object) OrNil() any {
	if o == nil {
		return nil
	}
	return jsontext.Value(o)
}

// Any is a payload: any JSON value. Read sets Value to a part of the arguments, so
// that a large payload is neither copied nor parsed.
type Any struct{ Value jsontext.Value }

// UnmarshalJSONFrom skips the null that Read leaves in the payload's place.
func (*Any) UnmarshalJSONFrom(dec *jsontext.Decoder) error { return dec.SkipValue() }
