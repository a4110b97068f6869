//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/local"
)

const (
	waiting    = 1000             // requests at once
	unchanged  = 10 * time.Second // in which nothing changes
	wakeUps    = 60
	untilWaits = 60 * time.Millisecond // a request waits by then
)

// waits: what a thousand requests that wait for a change cost, and how long after the begin of
// a claim a waiting request is answered.
func (s *suite) waits() error {
	n := len(s.builds)
	memory, busy := make([]series, n), make([]series, n)
	for range min(s.rounds, 3) {
		for i, b := range s.builds {
			m, p, err := s.waitRound(b)
			if err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
			memory[i], busy[i] = append(memory[i], m...), append(busy[i], p...)
		}
	}
	s.add("relay on SQLite: memory above idle, 1,000 requests that wait", "60 MB", mega, anchor{}, memory...)
	s.add("relay on SQLite: processor time above idle in 10 quiet s, 1,000 requests that wait", "", millis, anchor{}, busy...)
	own := make([]series, n)
	wake, err := s.wakeInProcess()
	if err != nil {
		return err
	}
	own[0] = wake
	if n > 1 { // it is of this tree, which is the last
		own[0], own[n-1] = nil, wake
	}
	s.add("embedded relay, in process: a claim until a waiting request is answered", "", millis, anchor{}, own...)
	places, _, stop, err := s.startPostgres()
	if err != nil {
		note("no waits on PostgreSQL: %v", err)
		places, stop = nil, func() error { return nil }
	}
	err = s.wakeAll(places)
	s.endAll() // the relays before their data base
	return errors.Join(err, stop())
}

// wakeAll measures wake-ups over HTTP.
func (s *suite) wakeAll(postgres []string) error {
	n := len(s.builds)
	same, process, node := make([]series, n), make([]series, n), make([]series, n)
	for i, b := range s.builds {
		first, err := s.startRelay(b, "")
		if err != nil {
			return err
		}
		second, err := s.startRelay(b, filepath.Join(first.data, "store.db"), "--keyring", filepath.Join(first.data, "keyring.json"))
		if err != nil {
			return err
		}
		if same[i], err = s.wake(first, first); err != nil {
			return err
		}
		if process[i], err = s.wake(first, second); err != nil {
			return err
		}
		if postgres == nil {
			continue
		}
		if first, err = s.startRelay(b, postgres[i]); err != nil {
			return err
		}
		if second, err = s.startRelay(b, postgres[i], "--keyring", filepath.Join(first.data, "keyring.json")); err != nil {
			return err
		}
		if node[i], err = s.wake(first, second); err != nil {
			return err
		}
	}
	s.add("relay on SQLite, HTTP: a claim until a waiting request is answered", "", millis, anchor{}, same...)
	s.add("relay on SQLite: a claim by another process until a waiting request is answered", "", millis, anchor{}, process...)
	if postgres != nil {
		s.add("relay on PostgreSQL: a claim at another node until a waiting request is answered", "", millis, anchor{}, node...)
	}
	return nil
}

// waitFor gets a kubbi when it has changed. waited is false if the relay can't wait.
func (r *relay) waitFor(ctx context.Context, c *http.Client, id string) (waited bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+api.PathKubbi+id, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	req.Header.Set(api.HeaderPrefer, fmt.Sprintf("wait=%d", api.MaxWait))
	resp, err := c.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return resp.Header.Get(api.HeaderPreferenceApplied) != "", err
}

// waitRound gives what the waiting requests add to a relay's memory, and the processor time
// that it needs meanwhile.
func (s *suite) waitRound(b build) (memory, processor series, err error) {
	r, err := s.startRelay(b, "")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	m, err := newMessage("x")
	if err != nil {
		return nil, nil, err
	}
	ids := make([]string, waiting)
	if _, err := spread(callers, waiting, func(_, i int) (err error) {
		ids[i], _, err = r.createID(s.ctx, m)
		return err
	}); err != nil {
		return nil, nil, err
	}
	r.client.CloseIdleConnections()
	time.Sleep(settled)
	alone, err := r.spends(unchanged)
	if err != nil {
		return nil, nil, err
	}
	idle, err := r.memory("VmRSS")
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	crowd := pool(waiting)
	ended := make(chan error, waiting)
	for _, id := range ids {
		go func() {
			_, err := r.waitFor(ctx, crowd, id)
			ended <- err
		}()
		time.Sleep(time.Millisecond)
	}
	time.Sleep(settled)
	spent, err := r.spends(unchanged)
	held, merr := r.memory("VmRSS")
	early := len(ended)
	var failed error
	for range early {
		failed = errors.Join(failed, <-ended)
	}
	cancel()
	for range waiting - early {
		<-ended
	}
	crowd.CloseIdleConnections()
	switch err = errors.Join(err, merr, failed); {
	case err != nil:
		return nil, nil, err
	case early > 0: // this build can't wait
		return nil, nil, nil
	}
	return series{held - idle}, series{spent - alone}, nil
}

// spends is the processor time that a process needs in a while.
func (p *process) spends(d time.Duration) (float64, error) {
	before, err := used(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	time.Sleep(d)
	after, err := used(p.cmd.Process.Pid)
	return after.since(before).processor, err
}

// wake measures how long after the begin of a claim at one relay a request is answered that
// waits at another one.
func (s *suite) wake(at, by *relay) (took series, err error) {
	m, err := newMessage("x")
	if err != nil {
		return nil, err
	}
	for n := range wakeUps {
		id, token, err := at.createID(s.ctx, m)
		if err != nil {
			return nil, err
		}
		type answer struct {
			waited bool
			at     time.Time
			err    error
		}
		answered := make(chan answer, 1)
		go func() {
			waited, err := at.waitFor(s.ctx, at.client, id)
			answered <- answer{waited, time.Now(), err}
		}()
		time.Sleep(untilWaits + 2*time.Duration(n)*time.Millisecond) // at any time between two looks
		begin := time.Now()
		if err := by.claim(s.ctx, token, m); err != nil {
			return nil, err
		}
		a := <-answered
		if a.err != nil {
			return nil, a.err
		}
		if !a.waited {
			return nil, nil
		}
		took = append(took, a.at.Sub(begin).Seconds())
	}
	return took, nil
}

// wakeInProcess is wake for the embedded relay of this process.
func (s *suite) wakeInProcess() (took series, err error) {
	dir, err := s.temp("local")
	if err != nil {
		return nil, err
	}
	rl, err := local.New(local.Config{Dir: filepath.Join(dir, "kubbi"), Origin: "http://127.0.0.1:7117"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rl.Close()) }()
	key, err := rl.APIKey(s.ctx)
	if err != nil {
		return nil, err
	}
	r := &relay{client: &http.Client{Transport: rl.RoundTripper(nowhere{})}, url: "http://127.0.0.1:7117", key: strings.TrimSpace(key)}
	return s.wake(r, r)
}

// nowhere is a transport without a network.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("a request has left the process")
}
