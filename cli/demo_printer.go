package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// story prints the demo so that a person can follow it, with colour on a
// terminal, and remembers what did not go as it should.
type story struct {
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

// paint colours text where colour is wanted.
func (s *story) paint(colour, text string) string {
	if !s.colour(s.stdout) {
		return text
	}
	return colour + text + reset
}

func (s *story) line(format string, args ...any) {
	s.err = errors.Join(s.err, s.print(fmt.Sprintf(format, args...)+"\n"))
}

// title opens the story.
func (s *story) title(lines ...string) {
	for _, l := range lines {
		s.line("%s", s.paint(bold, l))
	}
}

// step tells what one agent does.
func (s *story) step(agent, format string, args ...any) {
	s.steps++
	colour := blue
	if agent == "B" {
		colour = purple
	}
	s.line("\n%2d  %s %s", s.steps, s.paint(bold+colour, "agent "+agent), printable(fmt.Sprintf(format, args...)))
}

// show gives what was sent, received or said.
func (s *story) show(lines ...string) {
	for _, l := range lines {
		for part := range strings.SplitSeq(strings.TrimSuffix(l, "\n"), "\n") {
			s.line("      %s", s.paint(dim, printable(part)))
		}
	}
}

// check tells whether something is as it should be.
func (s *story) check(ok bool, claim string) {
	s.checks++
	if ok {
		s.line("    %s %s", s.paint(green, "ok"), claim)
		return
	}
	s.line("    %s %s", s.paint(red, "WRONG: not so:"), claim)
	s.err = errors.Join(s.err, fmt.Errorf("demo: not so: %s", claim))
}

// end closes the story.
func (s *story) end() {
	took := time.Since(s.started).Round(10 * time.Millisecond)
	if s.err != nil {
		s.line("\n%s", s.paint(bold+red, "Something was not as it should be."))
		return
	}
	s.line("\n%s", s.paint(bold+green, fmt.Sprintf("All %d checks hold, in %v.", s.checks, took)))
	s.line("Next: put mcp.json.example into your MCP host, or see kubbi-mcp --help.")
}
