package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"kubbi-mcp/internal/hostfile"
)

// demoPrinter prints the demo for a person, with colour on a terminal, and collects the
// checks that fail.
type demoPrinter struct {
	*app
	started time.Time
	steps   int
	checks  int
	err     error
}

const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	blue   = "\x1b[34m"
	purple = "\x1b[35m"
	reset  = "\x1b[0m"
)

// paint colours text if stdout takes colour.
func (s *demoPrinter) paint(colour, text string) string {
	if !s.colour(s.stdout) {
		return text
	}
	return colour + text + reset
}

func (s *demoPrinter) line(format string, args ...any) {
	s.err = errors.Join(s.err, s.print(fmt.Sprintf(format, args...)+"\n"))
}

// title prints the first lines.
func (s *demoPrinter) title(lines ...string) {
	for _, l := range lines {
		s.line("%s", s.paint(bold, l))
	}
}

// step prints what one agent does.
func (s *demoPrinter) step(agent, format string, args ...any) {
	colour := blue
	if agent == "B" {
		colour = purple
	}
	s.stepOf(colour, "agent "+agent, format, args...)
}

// stepOf prints what somebody does.
func (s *demoPrinter) stepOf(colour, who, format string, args ...any) {
	s.steps++
	s.line("\n%2d  %s %s", s.steps, s.paint(bold+colour, who), printable(fmt.Sprintf(format, args...)))
}

// show prints what was sent or received.
func (s *demoPrinter) show(lines ...string) {
	for _, l := range lines {
		for part := range strings.SplitSeq(strings.TrimSuffix(l, "\n"), "\n") {
			s.line("      %s", s.paint(dim, printable(part)))
		}
	}
}

// check prints a claim and whether it holds.
func (s *demoPrinter) check(ok bool, claim string) {
	s.checks++
	if ok {
		s.line("    %s %s", s.paint(green, "ok"), claim)
		return
	}
	s.line("    %s %s", s.paint(red, "WRONG: not so:"), claim)
	s.err = errors.Join(s.err, fmt.Errorf("not so: %s", claim))
}

// run runs the steps of a demo and prints the last lines. Its error is that of the step that
// failed, or has the checks that did not hold.
func (s *demoPrinter) run(ctx context.Context, steps ...func(context.Context) error) error {
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.end()
	return s.err
}

// end prints the last lines.
func (s *demoPrinter) end() {
	took := time.Since(s.started).Round(10 * time.Millisecond)
	if s.err != nil {
		s.line("\n%s", s.paint(bold+red, "Something was not as it should be."))
		return
	}
	s.line("\n%s", s.paint(bold+green, fmt.Sprintf("All %d checks hold, in %v.", s.checks, took)))
	first := ""
	if self, err := os.Executable(); err == nil && ofGoRun(self) {
		first = "go install . and then "
	}
	s.line("Next: %skubbi-mcp install HOST, where HOST is %s. kubbi-mcp --help has the rest.", first, strings.Join(hostfile.Names(), ", "))
}
