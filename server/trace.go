package server

import (
	"net/http"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/internal/tracecontext"
	"kubbi-mcp/kubbi"
)

// traceOf gives the W3C trace context of a request. It is in the request's _meta
// (SEP-414) or in its HTTP headers. _meta wins: a proxy can't have changed it. Either
// may be nil.
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

// metaTrace gives the trace in a request's _meta, an empty one unless it is valid.
func metaTrace(meta jsontext.Value) kubbi.Trace {
	var m struct {
		Parent any `json:"traceparent"`
		State  any `json:"tracestate"`
	}
	if jsonv2.Unmarshal(meta, &m) != nil {
		return kubbi.Trace{}
	}
	parent, _ := m.Parent.(string)
	if _, ok := tracecontext.ParseParent(parent); !ok {
		return kubbi.Trace{}
	}
	state, _ := m.State.(string)
	return kubbi.Trace{Parent: parent, State: state}
}
