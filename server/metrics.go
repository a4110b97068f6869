package server

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kubbi-mcp/tools"
)

// Metrics are metrics for Prometheus. All Servers of a process share them. Nil counts
// nothing. No label contains anything that came from outside.
type Metrics struct {
	calls        *prometheus.CounterVec
	durations    *prometheus.HistogramVec
	requestBytes *prometheus.CounterVec
	answerBytes  *prometheus.CounterVec
	sessions     *prometheus.GaugeVec
	streams      *prometheus.GaugeVec
	refusals     *prometheus.CounterVec
	handler      http.Handler
}

const (
	maxScrapes    = 4 // at the same time
	scrapeTimeout = 10 * time.Second
)

// NewMetrics makes metrics that start at zero.
func NewMetrics(version string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		calls: counter("kubbi_mcp_calls_total", "Tool calls that have ended, by what came of them.", "tool", "transport", "outcome"),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kubbi_mcp_call_duration_seconds",
			Help:    "How long tool calls took, without reading the request and writing the answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"tool", "transport"}),
		requestBytes: counter("kubbi_mcp_request_bytes_total", "Bytes of the messages of tool calls.", "transport"),
		answerBytes:  counter("kubbi_mcp_answer_bytes_total", "Bytes of content in the results of tool calls.", "transport"),
		sessions:     gauge("kubbi_mcp_sessions", "Open sessions.", "transport"),
		streams:      gauge("kubbi_mcp_streams", "Open streams of notifications.", "transport"),
		refusals:     counter("kubbi_mcp_refused_total", "HTTP requests and connections refused before MCP saw them, by the reason.", "reason"),
	}
	build := gauge("kubbi_mcp_build_info", "1, with the version that runs.", "version")
	build.WithLabelValues(version).Set(1)
	for _, reason := range refusalReasons() { // at zero, so that the first one is an increase
		m.refusals.WithLabelValues(reason)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister( // panics if two had one name
		m.calls, m.durations, m.requestBytes, m.answerBytes, m.sessions, m.streams, m.refusals, build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
	})
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
	m.calls.WithLabelValues(c.Tool, transport, c.Outcome).Inc()
	m.durations.WithLabelValues(c.Tool, transport).Observe(c.Took.Seconds())
	m.requestBytes.WithLabelValues(transport).Add(float64(size))
	m.answerBytes.WithLabelValues(transport).Add(float64(c.AnswerBytes))
}

// sessionsChanged counts sessions that begin (1) or end (-1).
func (m *Metrics) sessionsChanged(transport string, by int) {
	if m != nil {
		m.sessions.WithLabelValues(transport).Add(float64(by))
	}
}

// streamsChanged counts streams that begin (1) or end (-1).
func (m *Metrics) streamsChanged(transport string, by int) {
	if m != nil {
		m.streams.WithLabelValues(transport).Add(float64(by))
	}
}

func (m *Metrics) refused(reason string) {
	if m != nil {
		m.refusals.WithLabelValues(reason).Inc()
	}
}
