package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

const (
	callers = 16
	pairs   = 8000 // a round of the store
	trips   = 4000 // a round over HTTP
)

// parallel runs do(i) for i below n from 16 goroutines and gives the rate.
func parallel(n int, do func(i int) error) (perSecond float64, err error) {
	return spread(callers, n, func(_, i int) error { return do(i) })
}

// spread is parallel with as many goroutines as workers, each of which do gets
// to know.
func spread(workers, n int, do func(worker, i int) error) (perSecond float64, err error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, workers)
	begin := time.Now()
	for c := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[c] = do(c, i); errs[c] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(begin).Seconds(), errors.Join(errs...)
}

// store: creates and claims of 1 KB straight on the store, 16 callers.
func (s *suite) store() error {
	dir, err := s.temp("store")
	if err != nil {
		return err
	}
	db, err := sqlite.Open(s.ctx, sqlite.Config{Path: filepath.Join(dir, "store.db")})
	if err != nil {
		return err
	}
	defer db.Close()
	sealed := bytes.Repeat([]byte{0xa5}, 1024+64)
	payload := func(yield func(store.Chunk, error) bool) { yield(store.Chunk{Sealed: sealed}, nil) }
	token := func(round, i int) store.Hash {
		return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(round)<<32|uint64(i)))
	}
	var creates, claims []float64
	for round := range s.rounds {
		now := time.Now().UTC()
		rate, err := parallel(pairs, func(i int) error {
			_, err := db.Create(s.ctx, &store.Kubbi{
				ID: uuid.NewString(), Owner: "local", Token: token(round, i), MasterKey: "k",
				ContentType: "text/plain", Size: 1024, MaxRetrievals: 1,
				CreatedAt: now, ExpiresAt: now.Add(time.Hour),
			}, payload, nil, store.Quota{}, now)
			return err
		})
		if err != nil {
			return err
		}
		creates = append(creates, rate)
		rate, err = parallel(pairs, func(i int) error {
			got, err := db.Claim(s.ctx, token(round, i), nil, nil, now)
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
			return err
		}
		claims = append(claims, rate)
	}
	s.add("store: creates of 1 KB, durable, 16 callers", fmt.Sprintf("%.0f/s", median(creates)), "", "", "10,000/s")
	s.add("store: claims of 1 KB that burn, durable, 16 callers", fmt.Sprintf("%.0f/s", median(claims)), "", "", "8,000/s")
	return nil
}

// http: create-then-claim pairs over loopback beside a bare net/http server
// that answers with bodies of the same sizes.
func (s *suite) http() error {
	data, err := s.temp("http")
	if err != nil {
		return err
	}
	k, _, err := s.kubbi(data)
	if err != nil {
		return err
	}
	defer k.stop()
	const relay = "http://127.0.0.1:7199"
	key, err := awaitRelay(s.ctx, relay, data)
	if err != nil {
		return err
	}
	echo, stop, err := s.startEcho("http-echo")
	if err != nil {
		return err
	}
	defer stop()
	transport := &http.Transport{MaxIdleConnsPerHost: callers, MaxConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	body, err := json.Marshal(map[string]any{
		"content": strings.Repeat("0123456789abcdef", 64), "content_type": "text/plain",
		"ttl_seconds": 3600, "max_retrievals": 1,
	})
	if err != nil {
		return err
	}
	// pair makes a kubbi and claims it; with keyed it does so as our own client
	// does, with an idempotency key and a release at the end.
	pair := func(keyed bool) (rate, rateEcho float64, err error) {
		rate, err = parallel(trips, func(int) error {
			idem := ""
			if keyed {
				idem = uuid.NewString()
			}
			token, err := handOver(s.ctx, client, relay, body, key, idem)
			if err != nil || !keyed {
				return err
			}
			_, err = post(s.ctx, client, http.MethodDelete, relay+"/r/"+token+"/claim", nil, "", idem)
			return err
		})
		if err != nil {
			return 0, 0, err
		}
		rateEcho, err = parallel(trips, func(int) error {
			if _, err := post(s.ctx, client, http.MethodPost, echo+"/create", body, key, ""); err != nil {
				return err
			}
			_, err := post(s.ctx, client, http.MethodPost, echo+"/claim", nil, "", "")
			return err
		})
		return rate, rateEcho, err
	}
	for _, keyed := range []bool{false, true} {
		var got, bare []float64
		for range s.rounds {
			a, b, err := pair(keyed)
			if err != nil {
				return err
			}
			got, bare = append(got, a), append(bare, b)
		}
		what, target := "relay over loopback HTTP: create-then-claim pairs, 1 KB, 16 connections", "0.3"
		if keyed {
			what, target = "the same with idempotency keys and release (three durable requests)", "none set"
		}
		s.add(what, fmt.Sprintf("%.0f/s", median(got)), fmt.Sprintf("bare net/http, same bodies %.0f/s", median(bare)), ratio(median(got), median(bare)), target)
	}
	return nil
}

// handOver makes a kubbi at a relay and claims it, and gives its claim token.
func handOver(ctx context.Context, client *http.Client, relay string, body []byte, key, idem string) (token string, err error) {
	answer, err := post(ctx, client, http.MethodPost, relay+"/api/v1/kubbis", body, key, idem)
	if err != nil {
		return "", err
	}
	var made struct {
		Token string `json:"claim_token"`
	}
	if err := json.Unmarshal(answer, &made); err != nil {
		return "", err
	}
	_, err = post(ctx, client, http.MethodPost, relay+"/r/"+made.Token+"/claim", nil, "", idem)
	return made.Token, err
}

// post sends one request and reads the answer whole.
func post(ctx context.Context, client *http.Client, method, url string, body []byte, key, idem string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if idem != "" {
		r.Header.Set("Idempotency-Key", idem)
	}
	a, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(io.LimitReader(a.Body, 1<<24))
	if err == nil && a.StatusCode >= 300 {
		err = fmt.Errorf("%s: %.200s", a.Status, b)
	}
	return b, err
}

// awaitRelay waits until the relay serves its address, and reads the local key.
func awaitRelay(ctx context.Context, url, data string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if _, err := post(ctx, http.DefaultClient, http.MethodGet, url+"/health", nil, "", ""); err == nil {
			key, err := os.ReadFile(filepath.Join(data, "api-key"))
			return strings.TrimSpace(string(key)), err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("relay at %s: %w", url, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// startEcho starts one of this program's HTTP roles, and gives its URL and what
// ends it.
func (s *suite) startEcho(role string) (url string, stop func(), err error) {
	cmd := exec.CommandContext(s.ctx, s.self)
	cmd.Env = append(os.Environ(), "BENCH_ROLE="+role)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if url, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		stop()
		return "", nil, err
	}
	return strings.TrimSpace(url), stop, nil
}
