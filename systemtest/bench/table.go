//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	tableBegin = "<!-- bench: begin -->"
	tableEnd   = "<!-- bench: end -->"
)

// series is a figure of one program: a value for each round.
type series []float64

// anchor is what the builds are compared with. Its zero value is nothing.
type anchor struct {
	name string
	series
}

// row is one line of the table.
type row struct {
	what, anchor, change, bar string
	builds                    []string
}

// add adds a line: a figure of each build, in the order of s.builds. A build
// without values could not do it.
func (s *suite) add(what, bar string, unit func(float64) string, a anchor, ours ...series) {
	r := row{what: what, bar: bar}
	if a.name != "" {
		r.anchor = a.name + ": " + unit(median(a.series))
	}
	for _, v := range ours {
		cell := "refused"
		if len(v) > 0 {
			cell = unit(median(v))
			if a.name != "" {
				cell += ", " + ratio(v, a.series)
			}
		}
		r.builds = append(r.builds, cell)
	}
	if n := len(ours); n > 1 && len(ours[0]) > 0 && len(ours[n-1]) > 0 {
		r.change = ratio(ours[n-1], ours[0])
	}
	s.rows = append(s.rows, r)
}

// quotient divides one figure by another, round by round.
func quotient(v, by series) (q series) {
	for i := range min(len(v), len(by)) {
		q = append(q, v[i]/by[i])
	}
	return q
}

// ratio gives the median of the rounds' ratios, and the lowest and the highest.
func ratio(v, to series) string {
	r := quotient(v, to)
	return fmt.Sprintf("**%.2f** (%.2f–%.2f)", median(r), slices.Min(r), slices.Max(r))
}

// table is all rows in Markdown.
func (s *suite) table() string {
	var b strings.Builder
	experiment := "GOEXPERIMENT=jsonv2"
	if !s.jsonv2 {
		experiment = "no GOEXPERIMENT"
	}
	fmt.Fprintf(&b, "%s, %d cores (%s), Linux, %s, medians of %d rounds. Every Go program was built with %s. Other work took %s of the processors' time.\n\n",
		runtime.Version(), runtime.NumCPU(), processor(), time.Now().UTC().Format(time.DateOnly), s.rounds, experiment, s.others())
	b.WriteString("| what | compared with |")
	for _, v := range s.builds {
		b.WriteString(" " + v.name + " |")
	}
	if len(s.builds) > 1 {
		b.WriteString(" now / before |")
	}
	b.WriteString(" bar |\n" + strings.Repeat("|---", 3+len(s.builds)) + "|")
	if len(s.builds) > 1 {
		b.WriteString("---|")
	}
	b.WriteString("\n")
	for _, r := range s.rows {
		fmt.Fprintf(&b, "| %s | %s | %s |", r.what, r.anchor, strings.Join(r.builds, " | "))
		if len(s.builds) > 1 {
			b.WriteString(" " + r.change + " |")
		}
		b.WriteString(" " + r.bar + " |\n")
	}
	return b.String()
}

// others says how much of the machine other programs used since the run began.
func (s *suite) others() string {
	now, err := machine()
	if err != nil || now.all == s.begun.all {
		return "unknown"
	}
	busy := now.busy - s.begun.busy - (now.own - s.begun.own)
	return fmt.Sprintf("%.0f percent", 100*max(0, busy)/(now.all-s.begun.all))
}

// printInto puts the table between the marks of a file.
func (s *suite) printInto(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, begun := bytes.Cut(old, []byte(tableBegin))
	_, tail, ended := bytes.Cut(rest, []byte(tableEnd))
	if !begun || !ended {
		fmt.Print(s.table())
		return errors.New(path + " lacks the lines " + tableBegin + " and " + tableEnd + ", so the table is printed")
	}
	text := string(head) + tableBegin + "\n" + s.table() + tableEnd + string(tail)
	return os.WriteFile(path, []byte(text), 0o644)
}

func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	_, rest, _ := strings.Cut(string(b), "model name")
	_, rest, _ = strings.Cut(rest, ": ")
	name, _, _ := strings.Cut(rest, "\n")
	return name
}

func median(v []float64) float64 { return quantile(v, .5) }

// quantile gives the value that so large a part of v lies below.
func quantile(v []float64, part float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[min(len(v)-1, int(float64(len(v))*part))]
}

// Units: times are in seconds, memory and files in bytes.
func perSecond(v float64) string { return fmt.Sprintf("%.0f/s", v) }
func millis(v float64) string    { return fmt.Sprintf("%.2f ms", v*1e3) }
func micros(v float64) string    { return fmt.Sprintf("%.0f µs", v*1e6) }
func mega(v float64) string      { return fmt.Sprintf("%.1f MB", v/(1<<20)) }
func kilo(v float64) string      { return fmt.Sprintf("%.1f KB", v/(1<<10)) }
func count(v float64) string     { return fmt.Sprintf("%.0f", v) }
func times(v float64) string     { return fmt.Sprintf("%.2f times", v) }
func megaPerSecond(v float64) string {
	return fmt.Sprintf("%.0f MB/s", v/1e6)
}
