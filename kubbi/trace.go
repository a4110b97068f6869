package kubbi

import (
	"context"
	"net/http"
	"strings"

	"kubbi-mcp/kubbi/api"
)

// Trace is the W3C trace context of whoever asked for a call. The client
// passes it on as it is; it makes no spans of its own.
type Trace struct {
	Parent string // the traceparent header
	State  string // the tracestate header; "": none
}

type traceKey struct{}

// WithTrace gives a context whose calls carry a trace, so that what the Kubbi
// API does can be found from where it was asked for. Only the base URL's origin
// and those of WithTraceOrigins are told of it. A parent that is not valid
// leaves the context as it is; a state that is not valid is left out.
func WithTrace(ctx context.Context, t Trace) context.Context {
	parent, ok := api.ParseTraceparent(t.Parent)
	if !ok {
		return ctx
	}
	c := carried{id: parent.TraceID, parent: parent.String()}
	if validTracestate(t.State) {
		c.state = t.State
	}
	return context.WithValue(ctx, traceKey{}, &c)
}

// TraceID gives the id of the trace that a context carries, empty if it carries
// none: 32 hexadecimal digits.
func TraceID(ctx context.Context) string { return traceOf(ctx).id }

// WithTraceOrigins adds origins that are told the trace of a call, beside the
// base URL's. Claim URLs come from strangers, who have no business with it.
func WithTraceOrigins(origins ...string) Option {
	return func(c *config) { c.traced = append(c.traced, origins...) }
}

// carried is a valid Trace.
type carried struct{ id, parent, state string }

func traceOf(ctx context.Context) *carried {
	if c, ok := ctx.Value(traceKey{}).(*carried); ok {
		return c
	}
	return &carried{}
}

func (c *carried) setHeaders(h http.Header) {
	if c.parent != "" {
		h.Set(api.HeaderTraceparent, c.parent)
	}
	if c.state != "" {
		h.Set(api.HeaderTracestate, c.state)
	}
}

// Bounds of a tracestate, in the recommendation's numbers.
const (
	maxTracestate  = 512 // bytes
	maxTraceStates = 32  // members
	maxTraceKey    = 256
	maxTraceSystem = 14 // after the @ of a key
	maxTraceValue  = 256
)

// validTracestate reports whether s is a list of members, key=value, each key
// once.
func validTracestate(s string) bool {
	if len(s) > maxTracestate {
		return false
	}
	keys := make(map[string]bool)
	for member := range strings.SplitSeq(s, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue // allowed, and means nothing
		}
		key, value, ok := strings.Cut(member, "=")
		if !ok || keys[key] || !validTraceKey(key) || !validTraceValue(value) {
			return false
		}
		if keys[key] = true; len(keys) > maxTraceStates {
			return false
		}
	}
	return len(keys) > 0
}

func validTraceKey(key string) bool {
	tenant, system, two := strings.Cut(key, "@")
	if len(key) > maxTraceKey || two && (!validTracePart(system) || len(system) > maxTraceSystem) {
		return false
	}
	return validTracePart(tenant)
}

func validTracePart(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '_' || c == '-' || c == '*' || c == '/'):
		default:
			return false
		}
	}
	return s != ""
}

func validTraceValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return s != "" && len(s) <= maxTraceValue
}
