package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kubbi-mcp/relay"
	"kubbi-mcp/relay/atrest"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// shelf is a store that relays are measured on.
type shelf struct {
	name string
	// place makes an empty one and gives what openShelf opens, and what ends it.
	place func() (string, func(), error)
}

// shelves are the stores at hand.
func (s *suite) shelves() []shelf {
	return []shelf{{"SQLite", func() (string, func(), error) {
		dir, err := s.temp("sqlite")
		return filepath.Join(dir, "store.db"), func() {}, err
	}}}
}

// openShelf opens the store at a place.
func openShelf(ctx context.Context, place string) (store.Store, error) {
	return sqlite.Open(ctx, sqlite.Config{Path: place})
}

// The environment of the role relay.
const (
	envStore = "BENCH_STORE"
	envKey   = "BENCH_KEY" // an API key that it is to accept
)

// ring is a keyring that stays as it is.
type ring struct{ *atrest.Keyring }

func (r ring) Current() *atrest.Keyring   { return r.Keyring }
func (ring) Reload(context.Context) error { return errors.New("the keyring does not change") }

// serveRelay is the role relay: a node of a team's relay, on loopback.
func serveRelay() error {
	ctx := context.Background()
	db, err := openShelf(ctx, os.Getenv(envStore))
	if err != nil {
		return err
	}
	now := time.Now()
	if err := db.PutAPIKey(ctx, store.APIKey{Hash: relay.HashSecret(os.Getenv(envKey)), Owner: "bench", CreatedAt: now}); err != nil {
		return err
	}
	keys, err := atrest.NewKeyring(rand.Reader, now)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "http://" + l.Addr().String()
	handler, err := relay.New(relay.Config{Store: db, Keyring: ring{keys}, Origin: url})
	if err != nil {
		return err
	}
	go func() { _ = handler.Run(ctx) }()
	fmt.Fprintln(os.Stdout, url)
	return http.Serve(l, handler)
}

// pairs: create-then-claim pairs over loopback, of 1 KB and of 100 KB, at a
// relay of each store and at a bare net/http server that reads and answers
// bodies of the same sizes, in turns.
func (s *suite) pairs() error {
	key, err := relay.NewAPIKey(rand.Reader)
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: callers, MaxConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	type contender struct {
		name string
		pair func(body []byte, size int) error
		rate []float64
		took []time.Duration
	}
	echo, stop, err := s.startRole("http-echo")
	if err != nil {
		return err
	}
	defer stop()
	all := []*contender{{name: "bare net/http", pair: func(body []byte, size int) error {
		if _, err := post(s.ctx, client, http.MethodPost, echo+"/create", body, key, ""); err != nil {
			return err
		}
		_, err := post(s.ctx, client, http.MethodPost, fmt.Sprint(echo, "/claim?size=", claimAnswer-1024+size), nil, "", "")
		return err
	}}}
	for _, sh := range s.shelves() {
		place, end, err := sh.place()
		if err != nil {
			return err
		}
		defer end()
		url, stop, err := s.startRole("relay", envStore+"="+place, envKey+"="+key)
		if err != nil {
			return err
		}
		defer stop()
		all = append(all, &contender{name: sh.name, pair: func(body []byte, _ int) error {
			answer, err := post(s.ctx, client, http.MethodPost, url+"/api/v1/kubbis", body, key, "")
			if err != nil {
				return err
			}
			var made struct {
				Token string `json:"claim_token"`
			}
			if err := json.Unmarshal(answer, &made); err != nil {
				return err
			}
			_, err = post(s.ctx, client, http.MethodPost, url+"/r/"+made.Token+"/claim", nil, "", "")
			return err
		}})
	}
	for _, c := range []struct {
		size, trips int
		target      string
	}{{1 << 10, 3000, "0.3 (SQLite)"}, {100 << 10, 400, "none set"}} {
		body, err := json.Marshal(map[string]any{
			"content": strings.Repeat("0123456789abcdef", c.size/16), "content_type": "text/plain",
			"ttl_seconds": 3600, "max_retrievals": 1,
		})
		if err != nil {
			return err
		}
		for _, a := range all {
			a.rate, a.took = nil, nil
		}
		for round := range s.rounds + 1 {
			for _, a := range all {
				rate, took, err := timed(callers, c.trips, func(int) error { return a.pair(body, c.size) })
				if err != nil {
					return fmt.Errorf("%s: %w", a.name, err)
				}
				if round > 0 { // the first one warms up
					a.rate, a.took = append(a.rate, rate), append(a.took, took...)
				}
			}
		}
		bare := all[0]
		for _, a := range all[1:] {
			s.add(fmt.Sprintf("relay on %s: create-then-claim pairs, %d KB, durable, 16 connections", a.name, c.size>>10),
				speed(a.rate, a.took), bare.name+", same sizes "+speed(bare.rate, bare.took), ratio(median(a.rate), median(bare.rate)), c.target)
		}
	}
	return nil
}

func speed(rate []float64, took []time.Duration) string {
	return fmt.Sprintf("%.0f/s, p50 %s, p99 %s", median(rate), ms(median(took)), ms(percentile(took, .99)))
}

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
