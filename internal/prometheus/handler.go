package prometheus

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const (
	// ScrapeTimeout is how long a scrape may take.
	ScrapeTimeout = 10 * time.Second

	maxScrapes = 4 // at the same time
)

// Handler serves the metrics of the set, of the Go runtime (go_*) and of the process
// (process_*).
func (s *Set) Handler() http.Handler {
	running := make(chan struct{}, maxScrapes)
	limited := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case running <- struct{}{}:
			defer func() { <-running }()
			s.serve(w, r)
		default:
			http.Error(w, fmt.Sprintf("%d scrapes run already; try again later", maxScrapes), http.StatusServiceUnavailable)
		}
	})
	return http.TimeoutHandler(limited, ScrapeTimeout, fmt.Sprintf("the metrics could not be read within %s; try again later", ScrapeTimeout))
}

func (s *Set) serve(w http.ResponseWriter, r *http.Request) {
	var text bytes.Buffer
	s.write(r.Context(), &text)
	writeOthers(&text)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Vary", "Accept-Encoding")
	var out io.Writer = w
	if slices.Contains(strings.Split(strings.ReplaceAll(r.Header.Get("Accept-Encoding"), " ", ""), ","), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		out = z
	}
	_, _ = text.WriteTo(out) // fails only if the client has gone
}

// write writes the set, and what is read now.
func (s *Set) write(ctx context.Context, text *bytes.Buffer) {
	var own bytes.Buffer
	s.metrics.WritePrometheus(&own)
	withHelp(text, own.Bytes(), s.help)
	if s.atScrape != nil {
		now := NewSet()
		s.atScrape(ctx, now)
		now.write(ctx, text)
	}
}

// writeOthers writes the metrics of runtime and process.
func writeOthers(text *bytes.Buffer) {
	var others bytes.Buffer
	metrics.WriteProcessMetrics(&others)
	metrics.WriteFDMetrics(&others)
	withHelp(text, others.Bytes(), nil)
}

// withHelp completes the HELP lines. The library writes them without a text, and those for
// which there is none are left out.
func withHelp(out *bytes.Buffer, text []byte, help map[string]string) {
	for line := range bytes.Lines(text) {
		if name, isHelp := bytes.CutPrefix(line, []byte("# HELP ")); isHelp {
			name = bytes.TrimSpace(name)
			if help[string(name)] == "" {
				continue
			}
			line = fmt.Appendf(nil, "# HELP %s %s\n", name, help[string(name)])
		}
		out.Write(line)
	}
}
