package service

import (
	"context"
	"net/http"
	"time"

	"kubbi-mcp/internal/prometheus"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// metrics counts what a relay does, for Prometheus. It is the relay's Observer. No label
// holds anything that came from outside.
type metrics struct {
	requests  *prometheus.Counters
	durations *prometheus.Histograms
	answers   *prometheus.Counters
	refused   *prometheus.Counters
	failures  *prometheus.Counters
	sweeps    *prometheus.Counters
	sweeping  *prometheus.Histogram
	swept     *prometheus.Counters
	receipts  *prometheus.Counters
	waiting   func() int // how many requests wait for a change
	handler   http.Handler
}

// The reasons of kubbi_relay_refused_total.
const (
	refusedRequest    = "too_many_requests"
	refusedConnection = "too_many_connections"
)

func newMetrics(version string, db store.Store) *metrics {
	set := prometheus.NewSet()
	m := &metrics{
		requests: set.Counter("kubbi_relay_requests_total", "Requests that were answered, by what they asked for and what came of it.", "operation", "outcome"),
		durations: set.Histogram("kubbi_relay_request_duration_seconds", "How long requests took, with reading and writing of what was sent, without waits for a change.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}, "operation"),
		answers:  set.Counter("kubbi_relay_answer_bytes_total", "Bytes of the answers' bodies.", "operation"),
		refused:  set.Counter("kubbi_relay_refused_total", "Connections and requests refused because there were too many at once.", "reason"),
		failures: set.Counter("kubbi_relay_store_errors_total", "Calls that the store failed, by the call.", "call"),
		sweeps:   set.Counter("kubbi_relay_sweeps_total", "Sweeps of the store.", "outcome"),
		sweeping: set.Histogram("kubbi_relay_sweep_duration_seconds", "How long sweeps took.", []float64{.001, .01, .1, 1, 10, 60, 300}).With(),
		swept:    set.Counter("kubbi_relay_swept_total", "What sweeps did: kubbis expired, payloads wiped after a last grace, tombstones removed.", "what"),
		receipts: set.Counter("kubbi_relay_receipts_total", "Attempts to deliver a webhook receipt.", "outcome"),
		handler:  set.Handler(),
	}
	m.startAtZero()
	set.Gauge("kubbi_relay_build_info", "1, with the version that runs.", "version").With(version).Set(1)
	set.AtScrape(func(ctx context.Context, now *prometheus.Set) {
		now.Gauge("kubbi_relay_waiting_requests", "Requests that wait for a change of a kubbi.").With().Set(float64(m.waiting()))
		readStore(ctx, db, now)
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
			m.requests.With(string(op), outcome)
		}
	}
	for _, reason := range []string{refusedRequest, refusedConnection} {
		m.refused.With(reason)
	}
	for _, call := range storeCalls() {
		m.failures.With(call)
	}
	for _, outcome := range []webhook.Outcome{webhook.Delivered, webhook.Failed, webhook.GivenUp} {
		m.receipts.With(string(outcome))
	}
	for _, outcome := range []string{ok, "error"} {
		m.sweeps.With(outcome)
	}
	for _, what := range []string{sweptExpired, sweptWiped, sweptRemoved} {
		m.swept.With(what)
	}
}

// Request implements relay.Observer.
func (m *metrics) Request(r relay.Request) {
	op := string(r.Operation)
	m.requests.With(op, r.Outcome).Inc()
	m.durations.With(op).Update(r.Took.Seconds())
	m.answers.With(op).AddInt64(r.AnswerBytes)
}

// Sweep implements relay.Observer.
func (m *metrics) Sweep(s store.Swept, took time.Duration, err error) {
	outcome := ok
	if err != nil {
		outcome = "error"
	}
	m.sweeps.With(outcome).Inc()
	m.sweeping.Update(took.Seconds())
	m.swept.With(sweptExpired).Add(s.Expired)
	m.swept.With(sweptWiped).Add(s.Wiped)
	m.swept.With(sweptRemoved).Add(s.Removed)
}

func (m *metrics) receipt(o webhook.Outcome) { m.receipts.With(string(o)).Inc() }

func (m *metrics) refusedConnection() { m.refused.With(refusedConnection).Inc() }
