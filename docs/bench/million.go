package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
)

const (
	few     = 10_000
	many    = 1_000_000
	fillers = 128
	claimed = 2000 // a round
	expired = 100_000
)

// crowd is a store that is filled with small kubbis.
type crowd struct {
	ctx context.Context
	db  store.Store
	n   int // that were made, or may have been
	now time.Time
}

func (c *crowd) token(i int) store.Hash {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(i)))
}

// create makes the i-th kubbi.
func (c *crowd) create(i int, ttl time.Duration) error {
	id, err := uuid.NewV7() // as the relay does
	if err != nil {
		return err
	}
	_, err = c.db.Create(c.ctx, &store.Kubbi{
		ID: id.String(), Owner: "bench", Token: c.token(i), MasterKey: "k", ContentType: "text/plain",
		Size: 64, MaxRetrievals: 1, CreatedAt: c.now, ExpiresAt: c.now.Add(ttl),
	}, func(yield func(store.Chunk, error) bool) { yield(store.Chunk{Sealed: make([]byte, 64)}, nil) }, nil, store.Quota{}, c.now)
	return err
}

// fill makes kubbis until there are n.
func (c *crowd) fill(n int, ttl time.Duration) error {
	from := c.n
	c.n = n
	_, err := spread(fillers, n-from, func(_, i int) error { return c.create(from+i, ttl) })
	return err
}

// claim claims, one after another, kubbis from all over the first so many, and
// then makes a new one for each.
func (c *crowd) claim(round, of int) ([]time.Duration, error) {
	_, took, err := timed(1, claimed, func(i int) error {
		// Each once: the step has no divisor in common with either number.
		got, err := c.db.Claim(c.ctx, c.token((round*claimed+i)*7919%of), nil, nil, c.now)
		if err != nil {
			return err
		}
		for _, err := range got.Payload {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return took, c.fill(c.n+claimed, time.Hour)
}

// million: claims among a million active kubbis beside claims among ten
// thousand, and creates while a hundred thousand expired ones are swept.
func (s *suite) million() error {
	sh := s.sqlite() // to fill another kind takes many minutes
	rounds := min(s.rounds, few/claimed)
	var crowds []*crowd
	for range 2 {
		place, err := sh.empty()
		if err != nil {
			return err
		}
		db, err := openShelf(s.ctx, place)
		if err != nil {
			return err
		}
		defer db.Close()
		crowds = append(crowds, &crowd{ctx: s.ctx, db: db, now: time.Now().UTC()})
	}
	small, large := crowds[0], crowds[1]
	if err := small.fill(few, time.Hour); err != nil {
		return err
	}
	if err := large.fill(many, time.Hour); err != nil {
		return err
	}
	took := make([][]time.Duration, 2)
	for round := range rounds {
		for i, c := range crowds {
			t, err := c.claim(round, []int{few, many}[i])
			if err != nil {
				return err
			}
			took[i] = append(took[i], t...)
		}
	}
	s.add("store on "+sh.name+": claim among 1,000,000 active kubbis, one at a time", latency(took[1]),
		"among 10,000 "+latency(took[0]), ratio(float64(median(took[1])), float64(median(took[0]))), "at most 1.5")
	return s.sweepBeside(sh.name, large)
}

// sweepBeside makes creates while nothing else goes on, then while expired
// kubbis are swept, by turns.
func (s *suite) sweepBeside(name string, c *crowd) error {
	var quiet, busy []time.Duration
	var rate []float64
	for range 3 {
		if err := c.fill(c.n+expired/3, time.Minute); err != nil {
			return err
		}
		t, _, err := c.during(func() error {
			time.Sleep(2 * time.Second)
			return nil
		})
		if err != nil {
			return err
		}
		quiet = append(quiet, t...)
		t, wall, err := c.during(func() error {
			for swept := 0; swept < expired/3; {
				got, err := c.db.Sweep(s.ctx, c.now.Add(2*time.Minute), 24*time.Hour, 1000)
				if err != nil {
					return err
				}
				swept += got.Expired
			}
			return nil
		})
		if err != nil {
			return err
		}
		busy = append(busy, t...)
		rate = append(rate, expired/3/wall.Seconds())
	}
	s.add(fmt.Sprintf("store on %s: creates by 16 callers while %.0f expired kubbis a second are swept", name, median(rate)), latency(busy),
		"while nothing else goes on "+latency(quiet), ratio(float64(percentile(busy, .99)), float64(percentile(quiet, .99)))+" (p99)", "at most 3 (p99)")
	return nil
}

// during has 16 callers create kubbis until do returns, and gives how long each
// create, and do, took.
func (c *crowd) during(do func() error) (took []time.Duration, wall time.Duration, err error) {
	var stop atomic.Bool
	var mu sync.Mutex
	done := make(chan error, 1)
	go func() {
		begin := time.Now()
		err := do()
		wall = time.Since(begin)
		stop.Store(true)
		done <- err
	}()
	const most = 1 << 20
	from := c.n
	_, err = spread(callers, most, func(_, i int) error {
		if stop.Load() {
			return nil
		}
		begin := time.Now()
		if err := c.create(from+i, time.Hour); err != nil {
			return err
		}
		t := time.Since(begin)
		mu.Lock()
		took = append(took, t)
		c.n = max(c.n, from+i+1)
		mu.Unlock()
		return nil
	})
	if derr := <-done; err == nil {
		err = derr
	}
	return took, wall, err
}

func latency(took []time.Duration) string {
	return "p50 " + ms(median(took)) + ", p99 " + ms(percentile(took, .99))
}
