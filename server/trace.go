package server

import (
	"net/http"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/internal/tracecontext"
	"kubbi-mcp/kubbi"
)

// traceOf gives the W3C trace context of a request, which may be in its _meta,
// as MCP has it for every transport (SEP-414), or in its HTTP headers. What is
// in _meta wins: a proxy on the way can't have put it there. Either may be nil.
func traceOf(h http.Header, meta jsontext.Value) kubbi.Trace {
	if t := metaTrace(meta); t.Parent != "" {
		return t
	}
	parents := h.Values(tracecontext.HeaderParent)
	if len(parents) != 1 {
		return kubbi.Trace{} // there can be only one
	}
	return kubbi.Trace{Parent: parents[0], State: strings.Join(h.Values(tracecontext.HeaderState), ",")}
}

// metaTrace gives the trace in a request's _meta, nothing unless it is valid.
func metaTrace(meta jsontext.Value) kubbi.Trace {
	if meta.Kind() != '{' {
		return kubbi.Trace{}
	}
	var m struct {
		Parent jsontext.Value `json:"traceparent"`
		State  jsontext.Value `json:"tracestate"`
	}
	if jsonv2.Unmarshal(meta, &m) != nil || m.Parent.Kind() != '"' {
		return kubbi.Trace{}
	}
	t := kubbi.Trace{Parent: unquoted(m.Parent)}
	if _, ok := tracecontext.ParseParent(t.Parent); !ok {
		return kubbi.Trace{}
	}
	if m.State.Kind() == '"' {
		t.State = unquoted(m.State)
	}
	return t
}

// unquoted gives a JSON string's text, "" if it is not valid.
func unquoted(v jsontext.Value) string {
	b, err := jsontext.AppendUnquote(nil, []byte(v))
	if err != nil {
		return ""
	}
	return string(b)
}
