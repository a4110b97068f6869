// Package args reads the arguments of a tool call.
//
// Hosts and models send arguments in other shapes than the schema has: null or ""
// for what is left out, numbers as strings, lists as JSON text, maxRetrievals for
// max_retrievals. Schema.Read accepts a shape that has one meaning. Everything else
// gets an Error that names the argument and says what to do; no value is quoted.
package args

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// Error says what is wrong with the arguments, in words for the model. It never
// quotes a value.
type Error string

func (e Error) Error() string { return string(e) }

func errorf(format string, a ...any) Error { return Error(fmt.Sprintf(format, a...)) }

// WithPayload is an input with one argument of type Any.
type WithPayload interface {
	Payload() (name string, value *Any)
}

// Read checks the arguments of a call against the schema and decodes them into a
// struct. If arguments break the schema and have a single meaning, Read brings them into
// its shape and checks them again. It refuses all others with an Error.
func (s *Schema) Read(req mcp.CallToolRequest, into any) error {
	args, err := s.arguments(req)
	if err != nil {
		return err
	}
	return decode(args, into)
}

// arguments gives the arguments in the shape of the schema.
func (s *Schema) arguments(req mcp.CallToolRequest) (jsontext.Value, error) {
	args, err := rawArguments(req)
	if err != nil || s.Check(args) == nil {
		return args, err
	}
	if args, err = s.fit(args); err != nil {
		return nil, err
	}
	return args, s.Check(args)
}

// rawArguments gives the arguments as JSON. Some transports pass them as bytes,
// others decode them first.
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

// decode reads arguments that match the schema.
func decode(args jsontext.Value, into any) error {
	if p, ok := into.(WithPayload); ok {
		name, payload := p.Payload()
		payload.Value, args = takeMember(args, name)
	}
	// Check has refused duplicate names.
	err := jsonv2.Unmarshal(args, into, jsonv2.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(true))
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[Error](err); ok {
		return wrong
	}
	// The text of a decoding error may quote the arguments. So say only where it is.
	var at jsontext.Pointer
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at = e.JSONPointer
	} else if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		at = e.JSONPointer
	}
	if at == "" {
		return Error("the arguments object can't be read.")
	}
	return errorf("%s can't be read.", strconv.Quote(cut(string(at), 200)))
}

// cut shortens a text to at most n bytes, at a character's border.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
