package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// bar shows a person at a terminal how far a transfer has come, on one line that
// is wiped in the end. Its methods are for one goroutine at a time.
type bar struct {
	w     io.Writer // nil: nobody looks
	verb  string
	start time.Time
	last  time.Time // when it was drawn
}

// Bounds of a bar.
const (
	barDelay = 500 * time.Millisecond // a transfer that ends before is not shown
	barEvery = 100 * time.Millisecond
	barWidth = 30
)

// startBar starts a bar on stderr, if that is a terminal.
func (a *app) startBar(verb string) *bar {
	b := &bar{verb: verb, start: time.Now()}
	if isTerminal(a.stderr) {
		b.w = a.stderr
	}
	return b
}

// progress is a kubbi.Progress.
func (b *bar) progress(done, total int64) {
	now := time.Now()
	if b.w == nil || now.Sub(b.start) < barDelay || now.Sub(b.last) < barEvery && done != total {
		return
	}
	b.last = now
	fmt.Fprintf(b.w, "\r\x1b[K%s", barLine(b.verb, done, total, now.Sub(b.start)))
}

// end wipes the line.
func (b *bar) end() {
	if b.w != nil && !b.last.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

func barLine(verb string, done, total int64, took time.Duration) string {
	rate := size(int64(float64(done)/took.Seconds())) + "/s"
	if total <= 0 || done > total {
		return fmt.Sprintf("%s %s, %s", size(done), verb, rate)
	}
	full := int(barWidth * done / total)
	return fmt.Sprintf("[%s%s] %3d%%  %s of %s %s, %s",
		strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), 100*done/total, size(done), size(total), verb, rate)
}
