package server

import (
	"net/http"

	"kubbi-mcp/internal/prometheus"
	"kubbi-mcp/tools"
)

// Metrics are metrics for Prometheus. All Servers of a process share them. Nil counts
// nothing. No label contains anything that came from outside.
type Metrics struct {
	calls        *prometheus.Counters
	durations    *prometheus.Histograms
	requestBytes *prometheus.Counters
	answerBytes  *prometheus.Counters
	sessions     *prometheus.Gauges
	streams      *prometheus.Gauges
	refusals     *prometheus.Counters
	handler      http.Handler
}

// NewMetrics makes metrics that start at zero.
func NewMetrics(version string) *Metrics {
	set := prometheus.NewSet()
	m := &Metrics{
		calls: set.Counter("kubbi_mcp_calls_total", "Tool calls that have ended, by what came of them.", "outcome", "tool", "transport"),
		durations: set.Histogram("kubbi_mcp_call_duration_seconds", "How long tool calls took, without reading the request and writing the answer.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "tool", "transport"),
		requestBytes: set.Counter("kubbi_mcp_request_bytes_total", "Bytes of the messages of tool calls.", "transport"),
		answerBytes:  set.Counter("kubbi_mcp_answer_bytes_total", "Bytes of content in the results of tool calls.", "transport"),
		sessions:     set.Gauge("kubbi_mcp_sessions", "Open sessions.", "transport"),
		streams:      set.Gauge("kubbi_mcp_streams", "Open streams of notifications.", "transport"),
		refusals:     set.Counter("kubbi_mcp_refused_total", "HTTP requests and connections refused before MCP saw them, by the reason.", "reason"),
		handler:      set.Handler(),
	}
	set.Gauge("kubbi_mcp_build_info", "1, with the version that runs.", "version").With(version).Set(1)
	for _, reason := range refusalReasons() { // at zero, so that the first one is an increase
		m.refusals.With(reason)
	}
	return m
}

// refusalReasons are those of a transport.Refusal.
func refusalReasons() []string {
	return []string{
		"bad_request", "draining", "host", "internal", "no_session", "origin", "overloaded", "path", "rate_limited", "too_large",
		"too_many_calls", "too_many_connections", "too_many_sessions", "too_slow", "unauthorized", "unavailable",
	}
}

// Handler serves the metrics in the format of Prometheus.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return m.handler
}

// called counts a tool call.
func (m *Metrics) called(transport string, size int, c tools.Call) {
	if m == nil {
		return
	}
	m.calls.With(c.Outcome, c.Tool, transport).Inc()
	m.durations.With(c.Tool, transport).Update(c.Took.Seconds())
	m.requestBytes.With(transport).Add(size)
	m.answerBytes.With(transport).Add(c.AnswerBytes)
}

// sessionsChanged counts sessions that begin (1) or end (-1).
func (m *Metrics) sessionsChanged(transport string, by int) {
	if m != nil {
		m.sessions.With(transport).Add(float64(by))
	}
}

// streamsChanged counts streams that begin (1) or end (-1).
func (m *Metrics) streamsChanged(transport string, by int) {
	if m != nil {
		m.streams.With(transport).Add(float64(by))
	}
}

func (m *Metrics) refused(reason string) {
	if m != nil {
		m.refusals.With(reason).Inc()
	}
}
