package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// start: from the start of the process to the answer to initialize, with a
// store that exists, and what is resident then.
func (s *suite) start() error {
	data, err := s.temp("start")
	if err != nil {
		return err
	}
	var took []time.Duration
	var rss []float64
	for i := range s.rounds*4 + 1 {
		a, d, err := s.kubbi(data)
		if err != nil {
			return err
		}
		time.Sleep(300 * time.Millisecond) // the store opens in the background
		m, err := a.memory("VmRSS")
		if err := errors.Join(err, a.stop()); err != nil {
			return err
		}
		if i > 0 { // the first one makes the store
			took, rss = append(took, d), append(rss, m)
		}
	}
	s.add("stdio: start to initialize answer, warm store", ms(median(took)), "", "", "under 40 ms")
	s.add("stdio: resident once started", fmt.Sprintf("%.1f MB", median(rss)), "", "", "under 30 MB")
	return nil
}

// besideEcho launches kubbi-mcp on a fresh data directory, and mcp-go's echo.
func (s *suite) besideEcho(name string) (k, echo *agent, err error) {
	data, err := s.temp(name)
	if err != nil {
		return nil, nil, err
	}
	if k, _, err = s.kubbi(data); err != nil {
		return nil, nil, err
	}
	if echo, _, err = launch(s.ctx, []string{"BENCH_ROLE=mcp-echo"}, s.self); err != nil {
		return nil, nil, errors.Join(err, k.stop())
	}
	return k, echo, nil
}

// stdio: a send and a claim of 1 KB beside an echo of mcp-go.
func (s *suite) stdio() error {
	k, e, err := s.besideEcho("stdio")
	if err != nil {
		return err
	}
	defer e.stop()
	defer k.stop()
	text := strings.Repeat("0123456789abcdef", 64)
	var send, claim, echo []time.Duration
	for range 400 * s.rounds / 5 {
		d, _, err := e.timed("echo", map[string]any{"message": text})
		if err != nil {
			return err
		}
		echo = append(echo, d)
		d, sent, err := k.timed("send", map[string]any{"content": text, "max_retrievals": 1})
		if err != nil {
			return err
		}
		send = append(send, d)
		d, _, err = k.timed("claim", map[string]any{"claim_url": sent.Result.Structured.ClaimURL})
		if err != nil {
			return err
		}
		claim = append(claim, d)
	}
	base := "mcp-go echo of 1 KB " + ms(median(echo))
	s.add("stdio: send 1 KB, durable", ms(median(send))+", p99 "+ms(percentile(send, .99)), base, ratio(float64(median(send)), float64(median(echo))), "under 3")
	s.add("stdio: claim 1 KB, durable", ms(median(claim))+", p99 "+ms(percentile(claim, .99)), base, ratio(float64(median(claim)), float64(median(echo))), "under 3")
	return nil
}

// large: a send of 1 MB beside an echo of 1 MB by a Node.js server.
func (s *suite) large() error {
	k, e, err := s.besideEcho("large")
	if err != nil {
		return err
	}
	defer e.stop()
	defer k.stop()
	n, err := s.node()
	if err != nil {
		return err
	}
	if n != nil {
		defer n.stop()
	}
	text := strings.Repeat("a line of a build log, with \"quotes\" and more\n", 1_000_000/46)
	var send, claim, bare, node []time.Duration
	for i := range 6 * s.rounds {
		d, sent, err := k.timed("send", map[string]any{"content": text})
		if err != nil {
			return err
		}
		c, _, err := k.timed("claim", map[string]any{"claim_url": sent.Result.Structured.ClaimURL})
		if err != nil {
			return err
		}
		b, _, err := e.timed("echo", map[string]any{"message": text})
		if err != nil {
			return err
		}
		var j time.Duration
		if n != nil {
			if j, _, err = n.timed("echo", map[string]any{"message": text}); err != nil {
				return err
			}
		}
		if i >= s.rounds { // Node.js compiles its hot paths first
			send, claim, bare, node = append(send, d), append(claim, c), append(bare, b), append(node, j)
		}
	}
	base, r := "no Node.js here", ""
	rc := ""
	if n != nil {
		base = "Node.js server-everything, echo of 1 MB " + ms(median(node))
		r = ratio(float64(median(send)), float64(median(node)))
		rc = ratio(float64(median(claim)), float64(median(node)))
	}
	s.add("stdio: send 1 MB, durable", ms(median(send)), base, r, "at most 1")
	s.add("stdio: claim 1 MB, durable", ms(median(claim)), base, rc, "none set")
	s.add("(mcp-go out of the box: echo of 1 MB)", ms(median(bare)), base, "", "")
	return nil
}

// node launches the Node.js server, or gives nil where there is no Node.js.
func (s *suite) node() (*agent, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		fmt.Println("npm is not installed: no comparison with Node.js")
		return nil, nil
	}
	dir, err := s.temp("node")
	if err != nil {
		return nil, err
	}
	install := exec.Command(npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", dir, everything)
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm install: %w\n%s", err, out)
	}
	a, _, err := launch(s.ctx, nil, "node", filepath.Join(dir, "node_modules/@modelcontextprotocol/server-everything/dist/index.js"), "stdio")
	return a, err
}

// memory: the most that a process ever held while it sent, and claimed, 10 MiB.
func (s *suite) memory() error {
	const size = 10 << 20
	text := strings.Repeat("0123456789abcde\n", size/16-1)
	var send, claim []float64
	for range s.rounds {
		data, err := s.temp("memory")
		if err != nil {
			return err
		}
		a, _, err := s.kubbi(data)
		if err != nil {
			return err
		}
		_, sent, err := a.timed("send", map[string]any{"content": text})
		if err != nil {
			return err
		}
		m, err := a.memory("VmHWM")
		if err := errors.Join(err, a.stop()); err != nil {
			return err
		}
		b, _, err := s.kubbi(data)
		if err != nil {
			return err
		}
		if _, _, err = b.timed("claim", map[string]any{"claim_url": sent.Result.Structured.ClaimURL}); err != nil {
			return err
		}
		c, err := b.memory("VmHWM")
		if err := errors.Join(err, b.stop()); err != nil {
			return err
		}
		send, claim = append(send, m), append(claim, c)
	}
	s.add("stdio: peak memory, send of 10 MiB", fmt.Sprintf("%.1f MB", median(send)), "payload 10 MB", ratio(median(send), 10), "under 6")
	s.add("stdio: peak memory, claim of 10 MiB", fmt.Sprintf("%.1f MB", median(claim)), "payload 10 MB", ratio(median(claim), 10), "under 6")
	return nil
}
