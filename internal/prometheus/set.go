// Package prometheus counts what happens, and serves the figures in Prometheus' text format.
// VictoriaMetrics/metrics does the counting: in a binary it is a tenth of Prometheus' own
// client, which brings protobuf. This package adds what that library lacks: families whose
// metrics share labels and a HELP line, and limits for scrapes.
package prometheus

import (
	"context"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// Set is the metrics of a program, or of a part of it.
type Set struct {
	metrics  *metrics.Set
	help     map[string]string // of each family, by its name
	atScrape func(ctx context.Context, now *Set)
}

// A family of each kind, and a histogram.
type (
	Counters   = Family[*metrics.Counter]
	Gauges     = Family[*metrics.Gauge]
	Histograms = Family[*Histogram]
	Histogram  = metrics.PrometheusHistogram
)

// NewSet makes an empty set.
func NewSet() *Set {
	metrics.ExposeMetadata(true) // HELP and TYPE lines, in all sets
	return &Set{metrics: metrics.NewSet(), help: map[string]string{}}
}

// AtScrape sets what is called at each scrape, perhaps by several at the same time. It puts
// figures that somebody else keeps into now, a set for this scrape alone. It must return
// when ctx ends.
func (s *Set) AtScrape(read func(ctx context.Context, now *Set)) { s.atScrape = read }

// Counter makes a family of counters.
func (s *Set) Counter(name, help string, labels ...string) *Counters {
	return family(s, name, help, labels, s.metrics.NewCounter)
}

// Gauge makes a family of gauges.
func (s *Set) Gauge(name, help string, labels ...string) *Gauges {
	return family(s, name, help, labels, func(name string) *metrics.Gauge { return s.metrics.NewGauge(name, nil) })
}

// Histogram makes a family of histograms. buckets are their upper bounds, in ascending
// order; one without a bound is added.
func (s *Set) Histogram(name, help string, buckets []float64, labels ...string) *Histograms {
	return family(s, name, help, labels, func(name string) *Histogram {
		return s.metrics.NewPrometheusHistogramExt(name, buckets)
	})
}

func family[M any](s *Set, name, help string, labels []string, create func(string) M) *Family[M] {
	if _, there := s.help[name]; there || len(labels) > maxLabels {
		panic("prometheus: " + name + " is in this set already, or has too many labels")
	}
	s.help[name] = help
	return &Family[M]{name: name, labels: labels, create: create, all: map[[maxLabels]string]M{}}
}

const maxLabels = 3

// Family is all metrics of one name. The values of their labels tell them apart.
type Family[M any] struct {
	name   string
	labels []string
	create func(name string) M
	mu     sync.RWMutex
	all    map[[maxLabels]string]M
}

// With gives the metric with these values, one for each label in the order of the labels. If
// it is not there yet, With makes it, with the value 0. A metric stays as long as its set, so
// the values must come from fixed sets.
func (f *Family[M]) With(values ...string) M {
	var key [maxLabels]string
	copy(key[:], values)
	f.mu.RLock()
	m, there := f.all[key]
	f.mu.RUnlock()
	if there {
		return m
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m, there = f.all[key]; !there {
		m = f.create(f.name + f.braces(values))
		f.all[key] = m
	}
	return m
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// braces writes labels with their values, as in {operation="claim",outcome="ok"}.
func (f *Family[M]) braces(values []string) string {
	if len(values) != len(f.labels) {
		panic("prometheus: another number of values than of labels: " + f.name)
	}
	pairs := make([]string, len(values))
	for i, label := range f.labels {
		pairs[i] = label + `="` + escape.Replace(values[i]) + `"`
	}
	if len(pairs) == 0 {
		return ""
	}
	return "{" + strings.Join(pairs, ",") + "}"
}
