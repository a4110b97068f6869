//go:build linux

// Command bench measures kubbi-mcp side by side with the programs it is
// compared with, in one run, and prints a Markdown table:
//
//	go run ./systemtest/bench
//	go run ./systemtest/bench -only pairs,stdio -rounds 3
//	go run ./systemtest/bench -before ../kubbi-before -yopass ../yopass-server -into docs/performance.md
//
// It builds kubbi-mcp and the bare servers with the same flags, and refuses a
// binary that was built with others. It starts each server on a free port with
// data of its own, and ends all of them. What a row needs and is not installed
// (Node.js, PostgreSQL, Redis, GnuPG, yopass-server) is named on standard error,
// and the row is left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// suite is what the measurements share.
type suite struct {
	ctx     context.Context
	dir     string // temporary, removed at the end
	builds  []build
	echo    string // this program, built with the same flags, for its roles
	yopass  string // yopass-server, or empty
	rounds  int
	million int
	jsonv2  bool
	rows    []row
	begun   load // of the machine, when the first part began
	running []*process
}

// build is a kubbi-mcp that is measured.
type build struct{ name, path string }

// part is a measurement that runs by itself.
type part struct {
	name string
	run  func(*suite) error
}

var parts = []part{
	{"disk", (*suite).disk},
	{"pairs", (*suite).pairs},
	{"stdio", (*suite).stdio},
	{"large", (*suite).large},
	{"path", (*suite).byPath},
	{"gigabyte", (*suite).gigabyte},
	{"beside", (*suite).beside},
	{"slow", (*suite).slowReaders},
	{"waits", (*suite).waits},
	{"shrink", (*suite).shrink},
	{"million", (*suite).list},
	{"start", (*suite).start},
	{"memory", (*suite).memory},
	{"mcp", (*suite).mcpCalls},
	{"sessions", (*suite).idle},
}

func partNames() string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

func main() {
	if role := os.Getenv("BENCH_ROLE"); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	var s suite
	only := flag.String("only", "", "run only these parts, comma separated: "+partNames())
	bin := flag.String("bin", "", "kubbi-mcp to measure instead of one built from this tree")
	before := flag.String("before", "", "second kubbi-mcp, measured in the same rounds")
	into := flag.String("into", "", "file whose text between "+tableBegin+" and "+tableEnd+" the table replaces, instead of printing it")
	flag.StringVar(&s.yopass, "yopass", "", "yopass-server to compare with")
	flag.IntVar(&s.rounds, "rounds", 7, "rounds that the medians are taken over")
	flag.IntVar(&s.million, "million", 1_000_000, "kubbis in the long list")
	flag.BoolVar(&s.jsonv2, "jsonv2", true, "build every program with GOEXPERIMENT=jsonv2; without it, none")
	flag.Parse()
	if err := s.run(*only, *bin, *before, *into); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (s *suite) run(only, bin, before, into string) (err error) {
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	if s.rounds < 1 || s.rounds > 20 || s.million <= 2*lookups {
		return fmt.Errorf("-rounds must be 1 to 20, -million above %d", 2*lookups)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s.ctx = ctx
	if s.dir, err = os.MkdirTemp("", "kubbi-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	defer s.endAll()
	if err := s.prepare(bin, before); err != nil {
		return err
	}
	if s.begun, err = machine(); err != nil {
		return err
	}
	for _, p := range chosen {
		fmt.Fprintln(os.Stderr, "measuring", p.name)
		if perr := p.run(s); perr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", p.name, perr))
		}
		s.endAll()
		if s.ctx.Err() != nil {
			break
		}
	}
	if into != "" && err == nil {
		return s.printInto(into)
	}
	fmt.Print(s.table()) // what was measured before an error, too
	return err
}

// choose gives the parts that are named, or all.
func choose(only string) ([]part, error) {
	if only == "" {
		return parts, nil
	}
	var chosen []part
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no part %q; there are %s", name, partNames())
		}
		chosen = append(chosen, parts[i])
	}
	return chosen, nil
}

// temp makes a fresh directory below the suite's.
func (s *suite) temp(name string) (string, error) { return os.MkdirTemp(s.dir, name+"-") }

func note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
