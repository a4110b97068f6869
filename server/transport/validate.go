package transport

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// accept validates a message. text is the error of an invalid text in it, nil if
// there is none. A notification gets no answer, so it is never refused: a member
// that can't be read counts as missing.
func (m *message) accept(text *Error) (*message, *Error) {
	notification := m.isNotification()
	if notification {
		m.id = nil
	}
	fault := m.check()
	switch {
	case notification:
		m.cleanNotification()
		return m, nil
	case fault == nil && text != nil && m.method != nil:
		fault = text
		fault.id = m.id
	case fault == nil && m.name == string(mcp.MethodInitialize):
		m.readableInitialize()
	}
	return m, fault
}

// isNotification reports whether a message is a notification. Some clients write
// an id of null in it.
func (m *message) isNotification() bool {
	if m.method.Kind() != '"' {
		return false
	}
	return m.id == nil || m.id.Kind() == 'n' && strings.HasPrefix(unquote(m.method), "notifications/")
}

// cleanNotification removes from a notification everything that is not used.
func (m *message) cleanNotification() {
	if len(m.method) > maxMethod || !m.method.IsValid() {
		m.method = jsontext.Value(`"notifications/unknown"`)
	}
	m.name = unquote(m.method)
	about := m.object.requestID
	m.params, m.object = nil, params{}
	if k := about.Kind(); (k == '"' || k == '0') && len(about) <= maxID && about.IsValid() {
		m.params, m.object.requestID = jsontext.Value("{}"), about
	}
}

// check refuses JSON that is not JSON-RPC.
func (m *message) check() *Error {
	if m.id != nil {
		if !utf8.Valid(m.id) {
			m.id = nil
			return invalidRequest(nil, "Invalid request: the id holds bytes that are not UTF-8")
		}
		if k := m.id.Kind(); k != '"' && k != '0' || len(m.id) > maxID {
			m.id = nil
			return invalidRequest(nil, "Invalid request: an id is a string or a number of at most %d bytes", maxID)
		}
	}
	if string(m.jsonrpc) != `"2.0"` {
		return invalidRequest(m.id, `Invalid request: "jsonrpc" must be "2.0"`)
	}
	if m.repeated {
		return invalidRequest(m.id, "Invalid request: a member is given twice")
	}
	if m.method == nil {
		if m.answer && m.id != nil {
			return nil
		}
		return invalidRequest(m.id, `Invalid request: no "method"`)
	}
	if m.method.Kind() != '"' || len(m.method) > maxMethod {
		return invalidRequest(m.id, `Invalid request: "method" must be a string of at most %d bytes`, maxMethod)
	}
	m.name = unquote(m.method)
	if absent(m.params) {
		m.params = nil
	}
	if m.params != nil && m.params.Kind() != '{' {
		return invalidParams(m.id, "Invalid params: must be an object")
	}
	if m.object.repeated {
		return invalidParams(m.id, "Invalid params: a member is given twice")
	}
	if m.object.meta.Kind() != '{' {
		m.object.meta = nil
	}
	if m.name == string(mcp.MethodToolsCall) {
		return m.checkCall()
	}
	return nil
}

// absent reports whether a value means that there is no object: null, "", or the empty
// list that PHP writes for an empty object.
func absent(v jsontext.Value) bool {
	switch v.Kind() {
	case 'n':
		return true
	case '"':
		return len(v) == len(`""`)
	case '[':
		return len(bytes.TrimSpace(v[1:len(v)-1])) == 0
	default:
		return false
	}
}

// checkCall checks the params of a tool call. Missing arguments are an empty object.
func (m *message) checkCall() *Error {
	if m.object.tool.Kind() != '"' || len(m.object.tool) > maxMethod {
		return invalidParams(m.id, `Invalid params: "name" must be the name of a tool`)
	}
	a := m.object.arguments
	if a.Kind() == '"' { // some hosts send them as a string
		a = jsontext.Value(strings.TrimSpace(unquote(a)))
		if len(a) > 0 && !a.IsValid(jsontext.AllowDuplicateNames(true)) {
			return invalidParams(m.id, `Invalid params: "arguments" is a text that is no JSON object`)
		}
	}
	if len(a) == 0 || absent(a) {
		a = jsontext.Value("{}")
	}
	if a.Kind() != '{' {
		return invalidParams(m.id, `Invalid params: "arguments" must be an object`)
	}
	m.object.arguments = a
	return nil
}
