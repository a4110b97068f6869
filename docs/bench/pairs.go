package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// startRelay starts a team's relay on an empty store, as kubbi-mcp relay serves
// it but without a log line for each request, and gives its URL and an API key.
func (s *suite) startRelay(place string) (url, key string, stop func() error, err error) {
	data, err := s.temp("relay")
	if err != nil {
		return "", "", nil, err
	}
	env := append(os.Environ(), "KUBBI_DATA_DIR="+data, "KUBBI_STORE="+place)
	cmd := exec.CommandContext(s.ctx, s.bin, "relay", "--listen", "127.0.0.1:0", "--no-access-log", "--log-format", "json")
	cmd.Env = env
	log, err := cmd.StderrPipe()
	if err != nil {
		return "", "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", "", nil, err
	}
	stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	}
	lines := bufio.NewScanner(log)
	for url == "" && lines.Scan() {
		var line struct {
			Msg string `json:"msg"`
			URL string `json:"public_url"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "relay listens" {
			url = line.URL
		}
	}
	if url == "" {
		return "", "", nil, errors.Join(errors.New("the relay does not listen"), stop())
	}
	go io.Copy(io.Discard, log) // ends with the process
	keys := exec.CommandContext(s.ctx, s.bin, "keys", "create", "--label", "bench")
	keys.Env = env
	out, err := keys.Output()
	if err != nil {
		return "", "", nil, errors.Join(fmt.Errorf("keys create: %w", err), stop())
	}
	return url, strings.TrimSpace(string(out)), stop, nil
}

// contender is a server that makes pairs.
type contender struct {
	name string
	pair func(body []byte, size int) error
	rate []float64
	took []time.Duration
}

// pairs: create-then-claim pairs over loopback, of 1 KB and of 100 KB, at a
// relay of each store and at a bare net/http server that reads and answers
// bodies of the same sizes, in turns.
func (s *suite) pairs() (err error) {
	transport := &http.Transport{MaxIdleConnsPerHost: callers, MaxConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	echo, stop, err := s.startEcho("http-echo")
	if err != nil {
		return err
	}
	defer stop()
	all := []*contender{{name: "bare net/http", pair: func(body []byte, size int) error {
		if _, err := post(s.ctx, client, http.MethodPost, echo+"/create", body, "kb_", ""); err != nil {
			return err
		}
		_, err := post(s.ctx, client, http.MethodPost, fmt.Sprint(echo, "/claim?size=", claimAnswer-1024+size), nil, "", "")
		return err
	}}}
	shelves, end := s.shelves()
	defer func() { err = errors.Join(err, end()) }()
	for _, sh := range shelves {
		place, err := sh.empty()
		if err != nil {
			return err
		}
		url, key, stop, err := s.startRelay(place)
		if err != nil {
			return fmt.Errorf("%s: %w", sh.name, err)
		}
		defer stop()
		all = append(all, &contender{name: sh.name, pair: func(body []byte, _ int) error {
			_, err := handOver(s.ctx, client, url, body, key, "")
			return err
		}})
	}
	if err := s.race(all, 1<<10, 3000, map[string]string{"SQLite": "0.3"}); err != nil {
		return err
	}
	return s.race(all, 100<<10, 400, nil)
}

// race has the contenders, of whom the first is what the others are compared
// with, make pairs of a size by turns.
func (s *suite) race(all []*contender, size, trips int, targets map[string]string) error {
	body, err := json.Marshal(map[string]any{
		"content": strings.Repeat("0123456789abcdef", size/16), "content_type": "text/plain",
		"ttl_seconds": 3600, "max_retrievals": 1,
	})
	if err != nil {
		return err
	}
	for _, c := range all {
		c.rate, c.took = nil, nil
	}
	for round := range s.rounds + 1 {
		for _, c := range all {
			rate, took, err := timed(callers, trips, func(int) error { return c.pair(body, size) })
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 { // the first one warms up
				c.rate, c.took = append(c.rate, rate), append(c.took, took...)
			}
		}
	}
	bare := all[0]
	for _, c := range all[1:] {
		s.add(fmt.Sprintf("relay on %s: create-then-claim pairs, %d KB, durable, 16 connections", c.name, size>>10),
			c.speed(), bare.name+", same sizes "+bare.speed(), ratio(median(c.rate), median(bare.rate)), targets[c.name])
	}
	return nil
}

func (c *contender) speed() string { return fmt.Sprintf("%.0f/s, %s", median(c.rate), latency(c.took)) }

// timed is spread with the time that each call took.
func timed(workers, n int, do func(i int) error) (perSecond float64, took []time.Duration, err error) {
	took = make([]time.Duration, n)
	perSecond, err = spread(workers, n, func(_, i int) error {
		begin := time.Now()
		err := do(i)
		took[i] = time.Since(begin)
		return err
	})
	return perSecond, took, err
}
