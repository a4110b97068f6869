// Command bench measures kubbi-mcp side by side with what it is compared to,
// in one run, and prints a Markdown table of medians and ratios:
//
//	go run ./docs/bench            # all of it, some three minutes
//	go run ./docs/bench -only stdio
//
// It builds the release binary itself. The comparison with a Node.js server
// needs Node.js and npm, and is left out with a message where they are missing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// everything is the Node.js server that the design names for comparison.
const everything = "@modelcontextprotocol/server-everything@2026.8.31"

// suite is what the measurements share.
type suite struct {
	ctx    context.Context
	dir    string // temporary, removed at the end
	bin    string // the release build of kubbi-mcp
	self   string // this program, for its roles
	rounds int
	rows   []row
}

// row is one line of the table.
type row struct {
	what, value, versus, ratio, target string
}

func main() {
	if role := os.Getenv("BENCH_ROLE"); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	only := flag.String("only", "", "run only the measurements whose name contains this: disk, store, http, pairs, million, mcp, sessions, start, stdio, large, memory, path")
	rounds := flag.Int("rounds", 5, "rounds that the medians are taken over")
	bin := flag.String("bin", "", "binary to measure instead of a fresh release build")
	flag.Parse()
	if err := run(*only, *bin, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(only, bin string, rounds int) error {
	dir, err := os.MkdirTemp("", "kubbi-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s := &suite{ctx: context.Background(), dir: dir, bin: bin, self: self, rounds: rounds}
	if s.bin == "" {
		s.bin = filepath.Join(dir, "kubbi-mcp")
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", s.bin, "kubbi-mcp")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOEXPERIMENT=jsonv2")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	for _, m := range []struct {
		name string
		run  func() error
	}{
		{"disk", s.disk},
		{"store", s.store},
		{"http", s.http},
		{"pairs", s.pairs},
		{"million", s.million},
		{"mcp", s.mcpCalls},
		{"sessions", s.idle},
		{"start", s.start},
		{"stdio", s.stdio},
		{"large", s.large},
		{"memory", s.memory},
		{"path", s.byPath},
	} {
		if !strings.Contains(m.name, only) {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", m.name)
		if err := m.run(); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	s.print()
	return nil
}

func (s *suite) add(what, value, versus, ratio, target string) {
	s.rows = append(s.rows, row{what, value, versus, ratio, target})
}

func (s *suite) print() {
	fmt.Printf("%s, %d cores, %s, medians of %d rounds, %s\n\n",
		runtime.Version(), runtime.NumCPU(), cpu(), s.rounds, time.Now().UTC().Format(time.DateOnly))
	fmt.Println("| what | measured | compared with | ratio | target |")
	fmt.Println("|---|---|---|---|---|")
	for _, r := range s.rows {
		fmt.Printf("| %s | %s | %s | %s | %s |\n", r.what, r.value, r.versus, r.ratio, r.target)
	}
}

func cpu() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	_, rest, _ := strings.Cut(string(b), "model name")
	_, rest, _ = strings.Cut(rest, ": ")
	name, _, _ := strings.Cut(rest, "\n")
	return name
}

// temp makes a fresh directory below the suite's.
func (s *suite) temp(name string) (string, error) {
	return os.MkdirTemp(s.dir, name+"-")
}

func median[T float64 | time.Duration | int64](v []T) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

func percentile(v []time.Duration, p float64) time.Duration {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[min(len(v)-1, int(float64(len(v))*p))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

func ratio(a, b float64) string { return fmt.Sprintf("%.2f", a/b) }
