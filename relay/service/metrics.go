package service

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// metrics counts what a relay does, for Prometheus. It is the relay's Observer. No label
// holds anything that came from outside.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	answers   *prometheus.CounterVec
	refused   *prometheus.CounterVec
	failures  *prometheus.CounterVec
	sweeps    *prometheus.CounterVec
	sweeping  prometheus.Histogram
	swept     *prometheus.CounterVec
	receipts  *prometheus.CounterVec
	waiting   func() int // how many requests wait for a change
	handler   http.Handler
}

// Limits for requests to /metrics.
const (
	maxScrapes    = 4
	scrapeTimeout = 10 * time.Second
)

// The reasons of kubbi_relay_refused_total.
const (
	refusedRequest    = "too_many_requests"
	refusedConnection = "too_many_connections"
)

func newMetrics(version string, db store.Store) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		requests: counter("kubbi_relay_requests_total", "Requests that were answered, by what they asked for and what came of it.", "operation", "outcome"),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kubbi_relay_request_duration_seconds",
			Help:    "How long requests took, with reading and writing of what was sent, without waits for a change.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"operation"}),
		answers:  counter("kubbi_relay_answer_bytes_total", "Bytes of the answers' bodies.", "operation"),
		refused:  counter("kubbi_relay_refused_total", "Connections and requests refused because there were too many at once.", "reason"),
		failures: counter("kubbi_relay_store_errors_total", "Calls that the store failed, by the call.", "call"),
		sweeps:   counter("kubbi_relay_sweeps_total", "Sweeps of the store.", "outcome"),
		sweeping: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "kubbi_relay_sweep_duration_seconds",
			Help:    "How long sweeps took.",
			Buckets: []float64{.001, .01, .1, 1, 10, 60, 300},
		}),
		swept:    counter("kubbi_relay_swept_total", "What sweeps did: kubbis expired, payloads wiped after a last grace, tombstones removed.", "what"),
		receipts: counter("kubbi_relay_receipts_total", "Attempts to deliver a webhook receipt.", "outcome"),
	}
	m.startAtZero()
	waits := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kubbi_relay_waiting_requests", Help: "Requests that wait for a change of a kubbi."},
		func() float64 { return float64(m.waiting()) })
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kubbi_relay_build_info", Help: "1, with the version that runs."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	registry := prometheus.NewRegistry()
	registry.MustRegister( // panics if two have the same name
		m.requests, m.durations, m.answers, m.refused, m.failures, m.sweeps, m.sweeping, m.swept, m.receipts, waits, build,
		newStoreCollector(db),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError, // the other metrics count although the store is down
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
	})
	return m
}

// The values of the label "what" of kubbi_relay_swept_total.
const (
	sweptExpired = "expired"
	sweptWiped   = "wiped"
	sweptRemoved = "removed"
)

// startAtZero makes all counters with the value 0, so that the first event shows as an
// increase.
func (m *metrics) startAtZero() {
	outcomes := []string{relay.OutcomeOK, relay.OutcomeAborted}
	for code := range api.Statuses {
		outcomes = append(outcomes, string(code))
	}
	for _, op := range relay.Operations() {
		for _, outcome := range outcomes {
			m.requests.WithLabelValues(string(op), outcome)
		}
	}
	for _, reason := range []string{refusedRequest, refusedConnection} {
		m.refused.WithLabelValues(reason)
	}
	for _, call := range storeCalls() {
		m.failures.WithLabelValues(call)
	}
	for _, outcome := range []webhook.Outcome{webhook.Delivered, webhook.Failed, webhook.GivenUp} {
		m.receipts.WithLabelValues(string(outcome))
	}
	for _, outcome := range []string{ok, "error"} {
		m.sweeps.WithLabelValues(outcome)
	}
	for _, what := range []string{sweptExpired, sweptWiped, sweptRemoved} {
		m.swept.WithLabelValues(what)
	}
}

// Request implements relay.Observer.
func (m *metrics) Request(r relay.Request) {
	op := string(r.Operation)
	m.requests.WithLabelValues(op, r.Outcome).Inc()
	m.durations.WithLabelValues(op).Observe(r.Took.Seconds())
	m.answers.WithLabelValues(op).Add(float64(r.AnswerBytes))
}

// Sweep implements relay.Observer.
func (m *metrics) Sweep(s store.Swept, took time.Duration, err error) {
	outcome := ok
	if err != nil {
		outcome = "error"
	}
	m.sweeps.WithLabelValues(outcome).Inc()
	m.sweeping.Observe(took.Seconds())
	m.swept.WithLabelValues(sweptExpired).Add(float64(s.Expired))
	m.swept.WithLabelValues(sweptWiped).Add(float64(s.Wiped))
	m.swept.WithLabelValues(sweptRemoved).Add(float64(s.Removed))
}

func (m *metrics) receipt(o webhook.Outcome) { m.receipts.WithLabelValues(string(o)).Inc() }

func (m *metrics) refusedConnection() { m.refused.WithLabelValues(refusedConnection).Inc() }
