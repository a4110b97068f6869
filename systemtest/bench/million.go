//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	pageSize = 20
	fillers  = 64
	lookups  = 5_000 // tokens that are kept of a list, for claims
	looked   = 40    // first and last pages of a round
	claimed  = 200   // claims of a round
)

// crowd is a relay with many kubbis.
type crowd struct {
	*relay
	n      int
	oldest string   // the id of the first
	tokens []string // some, from all over the list
}

// fill makes n kubbis, the first of them alone.
func (s *suite) fill(r *relay, n int, m *message) (*crowd, error) {
	id, _, err := r.createID(s.ctx, m)
	if err != nil {
		return nil, err
	}
	time.Sleep(10 * time.Millisecond) // so that it is the oldest by its time, too
	many := *r
	many.client = pool(fillers)
	defer many.client.CloseIdleConnections()
	c := &crowd{relay: r, n: n, oldest: id, tokens: make([]string, lookups)}
	step := n / lookups
	_, err = spread(fillers, n-1, func(_, i int) error {
		token, err := many.create(s.ctx, m)
		if i%step == 0 && i/step < lookups {
			c.tokens[i/step] = token
		}
		return err
	})
	if c.tokens[lookups-1] == "" {
		c.tokens = c.tokens[:lookups-1]
	}
	rand.Shuffle(len(c.tokens), func(i, j int) { c.tokens[i], c.tokens[j] = c.tokens[j], c.tokens[i] })
	return c, err
}

// page gets a page of the list by itself, and gives the ids and the seconds.
func (s *suite) page(c *crowd, page int) (ids []string, took float64, err error) {
	begin := time.Now()
	b, err := do(s.ctx, c.client, request{http.MethodGet, fmt.Sprintf("%s/api/v1/kubbis?page=%d&limit=%d", c.url, page, pageSize), nil, c.key})
	took = time.Since(begin).Seconds()
	if err != nil {
		return nil, 0, err
	}
	var got struct {
		Kubbis []struct{ ID string }
	}
	if err := json.Unmarshal(b, &got); err != nil {
		return nil, 0, err
	}
	for _, k := range got.Kubbis {
		ids = append(ids, k.ID)
	}
	if len(ids) == 0 {
		err = fmt.Errorf("page %d is empty", page)
	}
	return ids, took, err
}

// list: the last page of a list of a million kubbis against the first, and a
// claim among a million against one among ten thousand.
func (s *suite) list() error {
	m, err := newMessage("one of many")
	if err != nil {
		return err
	}
	const few = 2 * lookups
	var long, short []*crowd
	for _, b := range s.builds {
		for _, n := range []int{few, s.million} {
			r, err := s.startRelay(b, "")
			if err != nil {
				return err
			}
			c, err := s.fill(r, n, m)
			if err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
			if n == few {
				short = append(short, c)
			} else {
				long = append(long, c)
			}
		}
	}
	n := len(s.builds)
	first, last, deep := make([]series, n), make([]series, n), make([]series, n)
	rare, crowded, harder := make([]series, n), make([]series, n), make([]series, n)
	for round := range s.rounds {
		for i, c := range long {
			a, z, err := s.pages(c)
			if err != nil {
				return fmt.Errorf("%s: %w", s.builds[i].name, err)
			}
			first[i], last[i], deep[i] = append(first[i], a), append(last[i], z), append(deep[i], z/a)
		}
		for i := range long {
			a, err := s.claimSome(short[i], round, m)
			if err != nil {
				return err
			}
			z, err := s.claimSome(long[i], round, m)
			if err != nil {
				return err
			}
			rare[i], crowded[i], harder[i] = append(rare[i], a), append(crowded[i], z), append(harder[i], z/a)
		}
	}
	long1 := fmt.Sprint(s.million)
	s.add("relay on SQLite: first page of a list of "+long1, "", millis, anchor{}, first...)
	s.add("relay on SQLite: last page of a list of "+long1, "", millis, anchor{}, last...)
	s.add("relay on SQLite: its last page against its first", "3, moonshot 1.5", times, anchor{}, deep...)
	s.add("relay on SQLite: a claim among "+long1, "", millis, anchor{}, crowded...)
	s.add("relay on SQLite: that claim against one among 10,000", "1.5", times, anchor{}, harder...)
	return nil
}

// pages gives the median times of the first and of the last page.
func (s *suite) pages(c *crowd) (first, last float64, err error) {
	var a, z []float64
	for range looked {
		_, t, err := s.page(c, 1)
		if err != nil {
			return 0, 0, err
		}
		a = append(a, t)
		ids, t, err := s.page(c, (c.n+pageSize-1)/pageSize)
		if err == nil && ids[len(ids)-1] != c.oldest {
			err = errors.New("the last page does not end with the oldest kubbi")
		}
		if err != nil {
			return 0, 0, err
		}
		z = append(z, t)
	}
	return median(a), median(z), nil
}

// claimSome gives the median time of claims, one after another, of kubbis that
// no round has claimed yet.
func (s *suite) claimSome(c *crowd, round int, m *message) (float64, error) {
	var took []float64
	for i := range claimed {
		begin := time.Now()
		if err := c.claim(s.ctx, c.tokens[(round*claimed+i)%len(c.tokens)], m); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin).Seconds())
	}
	return median(took), nil
}
