package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// Limits of values that an answer repeats, or that are kept while a request runs.
const (
	maxID     = 1024 // bytes of an id
	maxMethod = 256  // bytes of a method's or tool's name
)

// message is one JSON-RPC message, read in a single pass. Its values are parts of
// the bytes that it came in.
type message struct {
	line     []byte // all of it
	jsonrpc  jsontext.Value
	id       jsontext.Value // as it came, to be echoed exactly; nil: none
	method   jsontext.Value
	params   jsontext.Value
	answer   bool // has a result or an error
	repeated bool // has a member twice

	name   string // of the method, unquoted
	object params // of params, if it is an object
}

// params are the members of a params object. In practice only the arguments of a
// tool call are long, and only the tool reads them.
type params struct {
	arguments jsontext.Value // as it came; nil: none
	meta      jsontext.Value
	tool      jsontext.Value // "name"
	requestID jsontext.Value // "requestId"
	others    []member
	repeated  bool
}

// member is one of an object.
type member struct {
	name  string
	value jsontext.Value
}

func invalidRequest(id jsontext.Value, format string, args ...any) *Error {
	return &Error{Code: mcp.INVALID_REQUEST, Message: fmt.Sprintf(format, args...), id: id}
}

func invalidParams(id jsontext.Value, format string, args ...any) *Error {
	return &Error{Code: mcp.INVALID_PARAMS, Message: fmt.Sprintf(format, args...), id: id}
}

var errNotObject = errors.New("not an object")

// parse reads a message. An error is the answer to it.
func parse(line []byte) (*message, *Error) {
	line = withoutMark(line)
	if isUTF16(line) {
		return nil, faultOfUTF16(line)
	}
	// Repeated names matter in the message and its params. Inside the arguments the
	// tool decides.
	m := message{line: line}
	err := jsonv2.Unmarshal(line, &m, jsontext.AllowDuplicateNames(true))
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntax):
		// If the only fault is a text that is not valid Unicode, the id can be read.
		m = message{line: line}
		if jsonv2.Unmarshal(line, &m, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) == nil {
			return m.accept(faultOfText(line, syntax))
		}
		id, _ := headID(line)
		return nil, &Error{Code: mcp.PARSE_ERROR, Message: fmt.Sprintf("Parse error: the message is not valid JSON (at byte %d)", syntax.ByteOffset), id: id}
	case errors.Is(err, errNotObject) && len(line) > 0 && bytes.TrimLeft(line, " \t\r\n")[0] == '[':
		return nil, invalidRequest(nil, "Invalid request: batches are not part of this protocol; send each message on a line of its own")
	case errors.Is(err, errNotObject):
		return nil, invalidRequest(nil, "Invalid request: a message is a JSON object")
	case err != nil:
		return nil, &Error{Code: mcp.PARSE_ERROR, Message: "Parse error: the message is not valid JSON"}
	}
	return m.accept(nil)
}

// UnmarshalJSONFrom reads the members of a message.
func (m *message) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	known := map[string]*jsontext.Value{"jsonrpc": &m.jsonrpc, "id": &m.id, "method": &m.method, "params": &m.params}
	return members(dec, func(name string) error {
		if name == "params" && dec.PeekKind() == '{' {
			m.repeated = m.repeated || m.params != nil
			m.params = jsontext.Value("{}") // the members are in m.object
			return m.readParams(dec)
		}
		if name == "result" || name == "error" {
			m.answer = true
		}
		v, err := m.value(dec)
		if into := known[name]; into != nil {
			m.repeated = m.repeated || *into != nil
			*into = v
		}
		return err
	})
}

func (m *message) readParams(dec *jsontext.Decoder) error {
	p := &m.object
	known := map[string]*jsontext.Value{"arguments": &p.arguments, "_meta": &p.meta, "name": &p.tool, "requestId": &p.requestID}
	return members(dec, func(name string) error {
		v, err := m.value(dec)
		if err != nil {
			return err
		}
		if into := known[name]; into != nil {
			p.repeated = p.repeated || *into != nil
			*into = v
			return nil
		}
		// mcp-go reads the rest with encoding/json, which ignores case. A second
		// spelling must not get past these checks.
		for k := range known {
			if strings.EqualFold(name, k) {
				return nil
			}
		}
		p.others = append(p.others, member{name, v})
		return nil
	})
}

// value reads the next value, and gives it as a part of the line.
func (m *message) value(dec *jsontext.Decoder) (jsontext.Value, error) {
	v, err := dec.ReadValue()
	if err != nil {
		return nil, err
	}
	end := dec.InputOffset()
	return jsontext.Value(m.line[end-int64(len(v)) : end : end]), nil
}

// members calls f for each member of the object that comes next; f reads the
// value.
func members(dec *jsontext.Decoder, f func(name string) error) error {
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadValue(); err != nil {
			return err
		}
		return errNotObject
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := f(name.String()); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// encode writes the message for mcp-go, in its usual form.
func (m *message) encode() []byte {
	b := append([]byte(nil), `{"jsonrpc":"2.0"`...)
	if m.id != nil {
		b = append(b, `,"id":`...)
		b = append(b, m.id...)
	}
	b = append(b, `,"method":`...)
	b = append(b, m.method...)
	if m.params.Kind() == '{' {
		b = append(b, `,"params":{`...)
		sep := ""
		add := func(name string, v jsontext.Value) {
			if v != nil {
				b = append(b, sep...)
				b = append(b, name...)
				b = append(b, v...)
				sep = ","
			}
		}
		add(`"name":`, m.object.tool)
		add(`"arguments":`, m.object.arguments)
		if m.object.meta != nil {
			add(`"_meta":`, readableMeta(m.object.meta))
		}
		add(`"requestId":`, m.object.requestID)
		for _, o := range m.object.others {
			if name, err := jsontext.AppendQuote(nil, o.name); err == nil {
				add(string(name)+":", o.value)
			}
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// isRequest reports whether the message wants an answer.
func (m *message) isRequest() bool { return m.id != nil && m.method != nil }

// modern reports whether the _meta of a request names a protocol version without
// an initialize handshake (2026-07-28 or later).
func (m *message) modern() bool {
	v := m.metaMember(mcp.MetaKeyProtocolVersion)
	return v.Kind() == '"' && mcp.IsModernProtocol(unquote(v))
}

func (m *message) metaMember(name string) jsontext.Value {
	var meta map[string]jsontext.Value
	if m.object.meta == nil || jsonv2.Unmarshal(m.object.meta, &meta) != nil {
		return nil
	}
	return meta[name]
}

// paramsInHeaders gives the params that the headers must repeat.
func (m *message) paramsInHeaders() json.RawMessage {
	named := map[string]jsontext.Value{}
	if m.object.tool != nil {
		named["name"] = m.object.tool
	}
	for _, o := range m.object.others {
		if o.name == "uri" {
			named["uri"] = o.value
		}
	}
	b, err := jsonv2.Marshal(named)
	if err != nil {
		return nil
	}
	return b
}

// unquote gives the text of a JSON string, "" if it is not valid.
func unquote(v jsontext.Value) string {
	b, err := jsontext.AppendUnquote(nil, []byte(v))
	if err != nil {
		return ""
	}
	return string(b)
}

// findID finds the id of a message that is too long, in its first and last bytes:
// some hosts write the id before the params, some after.
func findID(head, tail []byte) jsontext.Value {
	if id, found := headID(head); found {
		return id
	}
	// The object's last member, if the line ends in: ,"id":7}
	tail, ok := bytes.CutSuffix(bytes.TrimRight(tail, " \t\r\n"), []byte("}"))
	if !ok {
		return nil
	}
	at := bytes.LastIndex(tail, []byte(`"id"`))
	if at < 0 {
		return nil
	}
	before := bytes.TrimRight(tail[:at], " \t\r\n")
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(tail[at+len(`"id"`):], " \t\r\n"), []byte(":"))
	if !ok || !bytes.HasSuffix(before, []byte(",")) {
		return nil
	}
	return usableID(bytes.TrimSpace(rest))
}

// headID finds the id in the first bytes of a message. An id that can't be used is nil.
func headID(head []byte) (id jsontext.Value, found bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(head), jsontext.AllowDuplicateNames(true))
	_ = members(dec, func(name string) error {
		v, err := dec.ReadValue()
		if err == nil && name == "id" {
			id, found, err = usableID(v), true, io.EOF // it is enough
		}
		return err
	})
	return id, found
}

func usableID(v jsontext.Value) jsontext.Value {
	if k := v.Kind(); k != '"' && k != '0' || len(v) > maxID || !v.IsValid() {
		return nil
	}
	return v.Clone()
}

// describeBytes gives a size as people write it.
func describeBytes(n int) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return strconv.Itoa(n>>20) + " MiB"
	}
	return strconv.Itoa(n) + " bytes"
}
