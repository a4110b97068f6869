//go:build linux

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// everything is the Node.js server that the design names for comparison.
const everything = "@modelcontextprotocol/server-everything@2026.8.31"

// start: from the start of the process to the answer to initialize, with a
// store that exists, and what is resident then.
func (s *suite) start() error {
	took, rss := make([]series, len(s.builds)), make([]series, len(s.builds))
	homes := make([]home, len(s.builds))
	for round := range s.rounds*2 + 1 {
		for i, b := range s.builds {
			var err error
			if round == 0 { // makes the store
				if homes[i], err = s.home("start"); err != nil {
					return err
				}
			}
			a, d, err := s.kubbi(b, homes[i])
			if err != nil {
				return err
			}
			time.Sleep(300 * time.Millisecond) // the store opens in the background
			m, err := a.memory("VmRSS")
			if err := errors.Join(err, a.close()); err != nil {
				return err
			}
			if round > 0 {
				took[i], rss[i] = append(took[i], d), append(rss[i], m)
			}
		}
	}
	s.add("stdio: start to initialize answer, warm store", "40 ms", millis, anchor{}, took...)
	s.add("stdio: resident once started", "30 MB", mega, anchor{}, rss...)
	return nil
}

// stdio: a send and a claim of 1 KB beside an echo of mcp-go.
func (s *suite) stdio() error {
	bare, _, err := s.agent([]string{"BENCH_ROLE=mcp-echo"}, s.echo)
	if err != nil {
		return err
	}
	echo, send, claim, err := s.besideEcho(bare, hex(1<<10), 200)
	if err != nil {
		return err
	}
	base := anchor{"mcp-go, echo of 1 KB", echo}
	s.add("stdio: send 1 KB, durable", "3, moonshot 2", millis, base, send...)
	s.add("stdio: claim 1 KB, durable", "3, moonshot 2", millis, base, claim...)
	return nil
}

// large: a send and a claim of 1 MB beside an echo of 1 MB by a Node.js server.
func (s *suite) large() error {
	node, err := s.node()
	if node == nil {
		return err
	}
	text := strings.Repeat("a line of a build log, with \"quotes\" and more\n", 1_000_000/46)
	echo, send, claim, err := s.besideEcho(node, text, 6)
	if err != nil {
		return err
	}
	base := anchor{"Node.js server-everything, echo of 1 MB", echo}
	s.add("stdio: send 1 MB, durable", "0.8, moonshot 0.5", millis, base, send...)
	s.add("stdio: claim 1 MB, durable", "", millis, base, claim...)
	return nil
}

// besideEcho has an echo server and each build handle a text by turns, so many times
// a round. The first round, in which Node.js compiles its hot paths, does
// not count.
func (s *suite) besideEcho(other *agent, text string, calls int) (echo series, send, claim []series, err error) {
	var ours []*agent
	for _, b := range s.builds {
		h, err := s.home("stdio")
		if err != nil {
			return nil, nil, nil, err
		}
		a, _, err := s.kubbi(b, h)
		if err != nil {
			return nil, nil, nil, err
		}
		ours = append(ours, a)
	}
	send, claim = make([]series, len(ours)), make([]series, len(ours))
	for round := range s.rounds + 1 {
		var echos series
		sends, claims := make([]series, len(ours)), make([]series, len(ours))
		for call := range calls {
			for _, i := range order(len(ours)+1, call) {
				if i == len(ours) {
					d, err := other.repeat(text)
					if err != nil {
						return nil, nil, nil, err
					}
					echos = append(echos, d)
					continue
				}
				d, c, err := ours[i].handOver(text)
				if err != nil {
					return nil, nil, nil, err
				}
				sends[i], claims[i] = append(sends[i], d), append(claims[i], c)
			}
		}
		if round == 0 {
			continue
		}
		echo = append(echo, median(echos))
		for i := range ours {
			send[i], claim[i] = append(send[i], median(sends[i])), append(claim[i], median(claims[i]))
		}
	}
	return echo, send, claim, nil
}

// node launches the Node.js server, or gives nil where there is no Node.js.
func (s *suite) node() (*agent, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		note("no comparison with Node.js: npm is not installed")
		return nil, nil
	}
	dir, err := s.temp("node")
	if err != nil {
		return nil, err
	}
	install := exec.CommandContext(s.ctx, npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", dir, everything)
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm install: %w\n%s", err, out)
	}
	a, _, err := s.agent(nil, "node", filepath.Join(dir, "node_modules/@modelcontextprotocol/server-everything/dist/index.js"), "stdio")
	return a, err
}

// memory: the most that a process ever held while it sent, and claimed, 10 MiB.
func (s *suite) memory() error {
	text := hex(10<<20 - 16)
	send, claim := make([]series, len(s.builds)), make([]series, len(s.builds))
	for round := range min(s.rounds, 3) {
		for _, i := range order(len(s.builds), round) {
			h, err := s.home("memory")
			if err != nil {
				return err
			}
			url := ""
			peak := func(tool string, arguments map[string]any, check func(*answer) error) (float64, error) {
				a, _, err := s.kubbi(s.builds[i], h)
				if err != nil {
					return 0, err
				}
				_, got, err := a.timed(tool, arguments)
				if err == nil {
					err = check(got)
				}
				m, merr := a.memory("VmHWM")
				return m, errors.Join(err, merr, a.close())
			}
			m, err := peak("send", map[string]any{"content": text}, func(a *answer) error {
				url = a.Result.Structured.ClaimURL
				return nil
			})
			if err != nil {
				return err
			}
			c, err := peak("claim", map[string]any{"claim_url": url}, func(a *answer) error { return a.holds(text) })
			if err != nil {
				return err
			}
			send[i], claim[i] = append(send[i], m), append(claim[i], c)
		}
	}
	s.add("stdio: peak memory, send of 10 MiB in the call", "60 MB", mega, anchor{}, send...)
	s.add("stdio: peak memory, claim of 10 MiB in the answer", "60 MB", mega, anchor{}, claim...)
	return nil
}
