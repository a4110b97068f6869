//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// pairs: what it costs to take a message and to give it back once, of 1 KB and
// of 100 KB, over 16 connections of loopback, at relays on SQLite and on
// PostgreSQL, at yopass with Redis, and at a bare net/http server.
func (s *suite) pairs() (err error) {
	bare, err := s.startBare()
	if err != nil {
		return err
	}
	all, anchors := []*contender{bare}, []*contender{}
	armour := func(n int) (string, error) { return hex(n), nil }
	if s.yopassHere() {
		armour = s.armour
		for _, r := range []struct {
			name  string
			flags []string
		}{
			{"yopass, Redis in memory", []string{"--appendonly", "no"}},
			{"yopass, Redis that syncs each write", []string{"--appendonly", "yes", "--appendfsync", "always"}},
		} {
			c, err := s.startYopass(r.name, r.flags...)
			if err != nil {
				return err
			}
			anchors = append(anchors, c)
		}
		all = append(all, anchors...)
	}
	anchors = append(anchors, bare)
	sqlite, err := s.relays(nil, 0)
	if err != nil {
		return err
	}
	all = append(all, sqlite...)
	var postgres []*contender
	if places, pid, stop, perr := s.startPostgres(); perr != nil {
		note("nothing about PostgreSQL: %v", perr)
	} else {
		defer func() { err = errors.Join(err, stop()) }()
		defer s.endAll() // the relays before their data base
		if postgres, err = s.relays(places, pid); err != nil {
			return err
		}
		all = append(all, postgres...)
	}
	for _, size := range []struct{ bytes, trips int }{{1 << 10, 2000}, {100 << 10, 300}} {
		text, err := armour(size.bytes)
		if err != nil {
			return err
		}
		m, err := newMessage(text)
		if err != nil {
			return err
		}
		if err := s.race(all, m, size.trips); err != nil {
			return err
		}
		s.addPairs(size.bytes, "SQLite", sqlite, anchors)
		s.addPairs(size.bytes, "PostgreSQL", postgres, anchors)
	}
	return nil
}

// yopassHere says whether the comparison with yopass can be made.
func (s *suite) yopassHere() bool {
	if s.yopass == "" {
		return false
	}
	for _, name := range []string{"redis-server", "gpg"} {
		if _, err := exec.LookPath(name); err != nil {
			note("no comparison with yopass: %s is not installed", name)
			return false
		}
	}
	return true
}

// relays starts a relay of each build, on SQLite if no places are given.
func (s *suite) relays(places []string, pid int) ([]*contender, error) {
	var all []*contender
	for i, b := range s.builds {
		place, pids := "", []int{}
		if places != nil {
			place, pids = places[i], append(pids, pid)
		}
		r, err := s.startRelay(b, place)
		if err != nil {
			return nil, fmt.Errorf("relay, %s: %w", b.name, err)
		}
		all = append(all, r.contender(b.name, pids...))
	}
	return all, nil
}

// race has the contenders work by turns. The first round warms up and does not
// count.
func (s *suite) race(all []*contender, m *message, trips int) error {
	for round := range s.rounds + 1 {
		if round <= 1 {
			for _, c := range all {
				c.figures = figures{}
			}
		}
		for _, i := range order(len(all), round) {
			if err := s.turn(all[i], m, trips); err != nil {
				return fmt.Errorf("%s: %w", all[i].name, err)
			}
		}
	}
	return nil
}

// turn makes pairs, and then creates and claims apart from each other.
func (s *suite) turn(c *contender, m *message, trips int) error {
	var mu sync.Mutex
	var took []float64
	rate, err := spread(callers, trips, func(int, int) error {
		begin := time.Now()
		ref, err := c.create(s.ctx, m)
		if err == nil {
			err = c.claim(s.ctx, ref, m)
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, time.Since(begin).Seconds())
		return err
	})
	if err != nil {
		return err
	}
	c.pairs, c.late = append(c.pairs, rate), append(c.late, quantile(took, .99))
	refs := make([]string, trips)
	create, err := cost(c.pids, trips, func(_, i int) (err error) {
		refs[i], err = c.create(s.ctx, m)
		return err
	})
	if err != nil {
		return err
	}
	claim, err := cost(c.pids, trips, func(_, i int) error { return c.claim(s.ctx, refs[i], m) })
	c.createCost, c.written = append(c.createCost, create.processor), append(c.written, create.written)
	c.claimCost = append(c.claimCost, claim.processor)
	return err
}

// rest is how long a turn waits for what its calls have left to do.
const rest = 200 * time.Millisecond

// cost gives what processes use for one of n calls, and for what they leave.
func cost(pids []int, n int, do func(worker, i int) error) (u usage, err error) {
	before, err := used(pids...)
	if err != nil {
		return u, err
	}
	if _, err := spread(callers, n, do); err != nil {
		return u, err
	}
	time.Sleep(rest)
	after, err := used(pids...)
	u = after.since(before)
	return usage{u.processor / float64(n), u.written / float64(n)}, err
}

// addPairs adds the rows of a kind of store. The anchors are yopass with Redis
// in memory, yopass with Redis that syncs, and the bare server, or that alone.
func (s *suite) addPairs(size int, store string, ours, anchors []*contender) {
	if len(ours) == 0 {
		return
	}
	bars := map[string]string{
		"1 KB SQLite 0": "1.1, moonshot 1.4", "1 KB SQLite 1": "1.8, moonshot 2.2",
		"100 KB SQLite 0": "1.9, moonshot 2.2", "1 KB PostgreSQL 0": "0.5, moonshot 0.8",
	}
	figure := func(get func(*contender) series) []series {
		var all []series
		for _, c := range ours {
			all = append(all, get(c))
		}
		return all
	}
	add := func(what, bar string, unit func(float64) string, a *contender, get func(*contender) series) {
		s.add(fmt.Sprintf("relay on %s, %d KB: %s", store, size>>10, what), bar, unit, anchor{a.name, get(a)}, figure(get)...)
	}
	for i, a := range anchors {
		if i == 2 && (store != "SQLite" || size > 1<<10) {
			continue // the bare server stands in one row
		}
		bar := ""
		if len(anchors) > 1 {
			bar = bars[fmt.Sprintf("%d KB %s %d", size>>10, store, i)]
		}
		add("durable pairs, 16 connections", bar, perSecond, a, func(c *contender) series { return c.pairs })
	}
	memory, synced := anchors[0], anchors[len(anchors)/2]
	add("p99 of a pair", "", millis, memory, func(c *contender) series { return c.late })
	add("processor time of a create", "", micros, memory, func(c *contender) series { return c.createCost })
	add("processor time of a claim", "", micros, memory, func(c *contender) series { return c.claimCost })
	if len(anchors) > 1 {
		add("written to the file system for a create", "", kilo, synced, func(c *contender) series { return c.written })
	}
}

// hex gives so many characters that do not compress to a quarter.
func hex(n int) string {
	b := make([]byte, n/2)
	rand.Read(b)
	return fmt.Sprintf("%x", b)
}

// armour gives about so many characters of PGP, which yopass wants.
func (s *suite) armour(n int) (string, error) {
	home, err := s.temp("gpg")
	if err != nil {
		return "", err
	}
	plain := make([]byte, (n-200)*48/65) // 48 bytes make a line of 65
	rand.Read(plain)
	cmd := exec.CommandContext(s.ctx, "gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "bench",
		"--s2k-count", "65536", "--compress-algo", "none", "-c", "--armor")
	var log bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(plain), &log
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("gpg: %w\n%s", err, &log)
	}
	return string(out), nil
}
