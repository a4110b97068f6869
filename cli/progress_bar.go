package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// bar shows the progress of a transfer on one line of a terminal, which is cleared at the
// end. Its methods must not run at the same time.
type bar struct {
	w     io.Writer // nil if stderr is no terminal
	verb  string
	start time.Time
	last  time.Time // the last time it was drawn
}

// Bounds of a bar.
const (
	barDelay = 500 * time.Millisecond // shorter transfers are not shown
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

// end clears the line.
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
