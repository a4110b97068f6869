//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const quiet = 4 * time.Second

// beside: how long small creates wait at a relay at which an agent stores 64 MiB
// again and again, against the same relay when it does not.
func (s *suite) beside() error {
	p, err := s.parcel(pathSize)
	if err != nil {
		return err
	}
	m, err := newMessage(hex(1 << 10))
	if err != nil {
		return err
	}
	type pair struct {
		*relay
		*agent
	}
	var all []pair
	for _, b := range s.builds {
		r, err := s.startRelay(b, "")
		if err != nil {
			return err
		}
		a, _, err := s.agent([]string{"KUBBI_DATA_DIR=" + p.dir + "/none", "KUBBI_API_KEY=" + r.key, "KUBBI_BASE_URL=" + r.url},
			b.path, "serve", "--log-level", "error", "--allow-dir", p.dir)
		if err != nil {
			return err
		}
		all = append(all, pair{r, a})
	}
	n := len(s.builds)
	alone, busy, slower, stored := make([]series, n), make([]series, n), make([]series, n), make([]series, n)
	for round := range min(s.rounds, 5) + 1 {
		for _, i := range order(len(all), round) {
			v := all[i]
			before, err := v.relay.small(s.ctx, m, quiet)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(s.ctx, quiet)
			done := make(chan error, 1)
			files := 0
			go func() {
				for ctx.Err() == nil {
					if err := v.agent.storeAndDelete(p); err != nil {
						done <- err
						return
					}
					files++
				}
				done <- nil
			}()
			during, err := v.relay.small(s.ctx, m, quiet)
			cancel()
			if err := errors.Join(err, <-done); err != nil {
				return fmt.Errorf("%s: %w", s.builds[i].name, err)
			}
			if round > 0 {
				alone[i], busy[i] = append(alone[i], before), append(busy[i], during)
				slower[i] = append(slower[i], during/before)
				stored[i] = append(stored[i], float64(files))
			}
		}
	}
	s.add("relay: p99 of a small create, 4 connections, nothing else", "", millis, anchor{}, alone...)
	s.add("relay: p99 of a small create while an agent stores 64 MiB again and again", "", millis, anchor{}, busy...)
	s.add("relay: p99 of a small create, storing 64 MiB against nothing else", "3, moonshot 1.5", times, anchor{}, slower...)
	s.add("relay: files of 64 MiB stored and deleted meanwhile, in 4 s", "", count, anchor{}, stored...)
	return nil
}

// small gives the p99 of creates that four connections make for so long.
func (r *relay) small(ctx context.Context, m *message, during time.Duration) (float64, error) {
	var mu sync.Mutex
	var took []float64
	end := time.Now().Add(during)
	_, err := spread(4, 4, func(int, int) error {
		for time.Now().Before(end) {
			begin := time.Now()
			if _, err := r.create(ctx, m); err != nil {
				return err
			}
			mu.Lock()
			took = append(took, time.Since(begin).Seconds())
			mu.Unlock()
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return quantile(took, .99), nil
}

// storeAndDelete sends a file by path, and deletes it again.
func (a *agent) storeAndDelete(p parcel) error {
	_, got, err := a.timed("send_files", map[string]any{"files": []any{map[string]any{"path": p.file}}})
	if err != nil {
		return err
	}
	_, _, err = a.timed("delete", map[string]any{"id": got.Result.Structured.ID})
	return err
}

const (
	readers   = 60
	slowBytes = 5_000_000
)

// slowReaders: what a relay holds for 60 clients that claim 5 MB and read
// slowly.
func (s *suite) slowReaders() error {
	m, err := newMessage(hex(slowBytes))
	if err != nil {
		return err
	}
	held := make([]series, len(s.builds))
	for round := range min(s.rounds, 3) {
		for _, i := range order(len(s.builds), round) {
			b := s.builds[i]
			r, err := s.startRelay(b, "")
			if err != nil {
				return err
			}
			mb, err := s.slowRound(r, m)
			if err := errors.Join(err, r.stop()); err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
			held[i] = append(held[i], mb)
		}
	}
	s.add("relay: memory above idle, 60 clients that claim 5 MB and read slowly", "", mega, anchor{}, held...)
	return nil
}

func (s *suite) slowRound(r *relay, m *message) (float64, error) {
	tokens := make([]string, readers)
	for i := range tokens {
		var err error
		if tokens[i], err = r.create(s.ctx, m); err != nil {
			return 0, err
		}
	}
	time.Sleep(time.Second)
	before, err := r.memory("VmRSS")
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := spread(readers, readers, func(_, i int) error { return r.claimSlowly(ctx, tokens[i]) })
		done <- err
	}()
	peak := before
	for ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
		now, err := r.memory("VmRSS")
		if err != nil {
			return 0, errors.Join(err, <-done)
		}
		peak = max(peak, now)
	}
	return peak - before, <-done
}

// claimSlowly claims, and reads 20 KB of the answer each second until ctx ends.
func (r *relay) claimSlowly(ctx context.Context, token string) error {
	host := strings.TrimPrefix(r.url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "POST /r/%s/claim HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", token, host); err != nil {
		return err
	}
	status := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, status); err != nil {
		return err
	}
	if string(status) != "HTTP/1.1 200" {
		return errors.New("a claim was answered with " + string(status) + ", not " + http.StatusText(http.StatusOK))
	}
	for ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
		if _, err := io.CopyN(io.Discard, conn, 1000); err != nil {
			return err
		}
	}
	return nil
}
