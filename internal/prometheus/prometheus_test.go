package prometheus

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func scrape(t *testing.T, h http.Handler, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestText reads the metrics with Prometheus' own parser.
func TestText(t *testing.T) {
	s := NewSet()
	claims := s.Counter("kubbi_claims_total", "Claims, by what came of them.", "operation", "outcome")
	claims.With("claim", "ok").Add(2)
	claims.With("claim", `"a\b`+"\n")
	s.Counter("kubbi_unused_total", "Never counted.", "reason")
	sessions := s.Gauge("kubbi_sessions", "Open sessions.")
	sessions.With().Add(3)
	sessions.With().Add(-1)
	took := s.Histogram("kubbi_seconds", "How long it took.", []float64{.0005, 1, 120}, "operation").With("claim")
	for _, seconds := range []float64{.0001, .5, .5, 1000} {
		took.Update(seconds)
	}
	s.AtScrape(func(_ context.Context, now *Set) {
		now.Gauge("kubbi_stored_bytes", "Bytes in the store.").With().Set(1 << 40)
	})
	w := scrape(t, s.Handler(), nil)
	if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("%d %s", w.Code, got)
	}
	text := w.Body.String()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	kinds := map[string]string{}
	for name, f := range families {
		if strings.HasPrefix(name, "kubbi_") || name == "go_goroutines" {
			kinds[name] = f.GetType().String() + " " + f.GetHelp()
		}
	}
	want := map[string]string{
		"kubbi_claims_total": "COUNTER Claims, by what came of them.",
		"kubbi_sessions":     "GAUGE Open sessions.",
		"kubbi_seconds":      "HISTOGRAM How long it took.",
		"kubbi_stored_bytes": "GAUGE Bytes in the store.",
		"go_goroutines":      "GAUGE ",
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var own []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "kubbi_") {
			own = append(own, strings.TrimSuffix(line, "\n"))
		}
	}
	if diff := cmp.Diff([]string{
		`kubbi_claims_total{operation="claim",outcome="\"a\\b\n"} 0`,
		`kubbi_claims_total{operation="claim",outcome="ok"} 2`,
		`kubbi_seconds_bucket{operation="claim",le="0.0005"} 1`,
		`kubbi_seconds_bucket{operation="claim",le="1"} 3`,
		`kubbi_seconds_bucket{operation="claim",le="120"} 3`,
		`kubbi_seconds_bucket{operation="claim",le="+Inf"} 4`,
		`kubbi_seconds_sum{operation="claim"} 1001.0001`,
		`kubbi_seconds_count{operation="claim"} 4`,
		`kubbi_sessions 2`,
		`kubbi_stored_bytes 1099511627776`,
	}, own); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(text, "# HELP go_") || families["process_cpu_seconds_total"] == nil {
		t.Error("there is a HELP line without a text, or process_cpu_seconds_total is missing")
	}
}

func TestGzip(t *testing.T) {
	s := NewSet()
	s.Counter("kubbi_claims_total", "Claims.").With()
	for accept, compressed := range map[string]bool{"gzip": true, "deflate, gzip": true, "gzip;q=0": false, "": false} {
		w := scrape(t, s.Handler(), http.Header{"Accept-Encoding": {accept}})
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != compressed {
			t.Errorf("Accept-Encoding: %s: compressed: %t", accept, got)
		}
		text := w.Body.String()
		if compressed {
			var b strings.Builder
			z, err := gzip.NewReader(w.Body)
			if err == nil {
				_, err = io.Copy(&b, z)
			}
			if err != nil {
				t.Error(err)
			}
			text = b.String()
		}
		if !strings.Contains(text, "kubbi_claims_total 0\n") {
			t.Errorf("Accept-Encoding: %s: %q", accept, text)
		}
	}
}

// TestScrapeLimits has scrapes that wait for a figure that does not come.
func TestScrapeLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSet()
		s.AtScrape(func(ctx context.Context, _ *Set) { <-ctx.Done() })
		h := s.Handler()
		var slow sync.WaitGroup
		for range maxScrapes {
			slow.Go(func() {
				if w := scrape(t, h, nil); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "within 10s") {
					t.Errorf("a scrape that takes too long: %d %s", w.Code, w.Body)
				}
			})
		}
		synctest.Wait()
		if w := scrape(t, h, nil); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "4 scrapes run") {
			t.Errorf("one scrape too many: %d %s", w.Code, w.Body)
		}
		slow.Wait()
		synctest.Wait()
		s.AtScrape(func(context.Context, *Set) {})
		if w := scrape(t, h, nil); w.Code != http.StatusOK {
			t.Errorf("later: %d %s", w.Code, w.Body)
		}
	})
}

func TestWith(t *testing.T) {
	f := NewSet().Counter("kubbi_claims_total", "Claims.", "a", "b", "c")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				f.With("1", "2", "3").Inc()
			}
		})
	}
	all.Wait()
	if n := f.With("1", "2", "3").Get(); n != 800 {
		t.Errorf("counted %d", n)
	}
	if n := testing.AllocsPerRun(100, func() { f.With("1", "2", "3").Inc() }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("accepts too few values")
		}
	}()
	f.With("1")
}
