package kubbi

import (
	"context"
	"net/http"

	"kubbi-mcp/internal/tracecontext"
)

// Trace is the W3C trace context of the caller. The client sends it unchanged with its
// requests and makes no spans of its own.
type Trace struct {
	Parent string // the traceparent header
	State  string // the tracestate header; "": none
}

type traceKey struct{}

// WithTrace gives a context whose calls carry a trace. Only the base URL's origin and
// those of WithTraceOrigins receive it. An invalid parent leaves the context as it is;
// an invalid state is left out.
func WithTrace(ctx context.Context, t Trace) context.Context {
	parent, ok := tracecontext.ParseParent(t.Parent)
	if !ok {
		return ctx
	}
	v := validTrace{id: parent.TraceID, parent: parent.String()}
	if tracecontext.ValidState(t.State) {
		v.state = t.State
	}
	return context.WithValue(ctx, traceKey{}, &v)
}

// TraceID gives the id of the trace that a context carries, 32 hexadecimal digits, or
// "" if it carries none.
func TraceID(ctx context.Context) string { return traceOf(ctx).id }

// validTrace is a Trace that was checked.
type validTrace struct{ id, parent, state string }

func traceOf(ctx context.Context) *validTrace {
	if t, ok := ctx.Value(traceKey{}).(*validTrace); ok {
		return t
	}
	return &validTrace{}
}

func (t *validTrace) setHeaders(h http.Header) {
	if t.parent != "" {
		h.Set(tracecontext.HeaderParent, t.parent)
	}
	if t.state != "" {
		h.Set(tracecontext.HeaderState, t.state)
	}
}
