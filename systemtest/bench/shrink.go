//go:build linux

package main

import (
	"fmt"
	"time"
)

// shrink: what a relay's data directory takes a minute after 1 GB was sent and
// claimed, half of it in kubbis of 1 MB and half in kubbis of 50 KB.
func (s *suite) shrink() error {
	full, after := make([]series, len(s.builds)), make([]series, len(s.builds))
	var relays []*relay
	for i, b := range s.builds {
		r, err := s.startRelay(b, "")
		if err != nil {
			return err
		}
		relays = append(relays, r)
		var claims []func() error
		for _, kind := range []struct{ size, n int }{{1_000_000, 500}, {50_000, 10_000}} {
			m, err := newMessage(hex(kind.size))
			if err != nil {
				return err
			}
			tokens := make([]string, kind.n)
			if _, err := spread(4, kind.n, func(_, i int) (err error) {
				tokens[i], err = r.create(s.ctx, m)
				return err
			}); err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
			claims = append(claims, func() error {
				_, err := spread(4, kind.n, func(_, i int) error { return r.claim(s.ctx, tokens[i], m) })
				return err
			})
		}
		size, err := diskUse(r.data)
		if err != nil {
			return err
		}
		full[i] = series{size}
		for _, claim := range claims {
			if err := claim(); err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
		}
	}
	select {
	case <-time.After(time.Minute):
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	for i, r := range relays {
		size, err := diskUse(r.data)
		if err != nil {
			return err
		}
		after[i] = series{size}
	}
	s.add("relay on SQLite: data directory once 1 GB was sent", "", mega, anchor{}, full...)
	s.add("relay on SQLite: data directory a minute after that 1 GB was claimed", "64 MB", mega, anchor{}, after...)
	return nil
}
