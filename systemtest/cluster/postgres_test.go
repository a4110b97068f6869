//go:build unix

package cluster

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store/postgres/pgtest"
)

// inDatabase gives the variables of relays that share a new data base and a keyring.
func inDatabase(t *testing.T, pg *pgtest.Cluster) []string {
	t.Helper()
	return append(onFile(t), "KUBBI_STORE="+pg.Database(t))
}

// TestClusterOnPostgres kills three relays that share a data base in turn, while
// 64 clients race for the same kubbis.
func TestClusterOnPostgres(t *testing.T) {
	testkit.OnlyCI(t, "loads three relays for seconds")
	t.Parallel()
	killUnderStorm(t, inDatabase(t, pgtest.New(t)))
}

// TestClusterPostgresRestarts stops the server of the data base during a storm, as a
// crash does and as an operator does.
func TestClusterPostgresRestarts(t *testing.T) {
	testkit.OnlyCI(t, "loads three relays for seconds")
	t.Parallel()
	pg := pgtest.New(t)
	c := startCluster(t, inDatabase(t, pg)...)
	s := newStorm(t, c.origins(), c.newKey("storm"))
	s.run(func(ctx context.Context) {
		for i := range stormRestarts {
			s.claimsOn(ctx)
			sig := []syscall.Signal{syscall.SIGQUIT, syscall.SIGINT}[i%2]
			if err := errors.Join(pg.Down(sig), pg.Up()); err != nil {
				t.Fatal(err)
			}
		}
		// The server stays away for longer than a relay waits for it.
		s.claimsOn(ctx)
		if err := pg.Down(syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
		s.sees503(ctx)
		c.unready(ctx)
		if err := pg.Up(); err != nil {
			t.Fatal(err)
		}
		s.claimsOn(ctx)
		c.recovered(ctx)
	})
	c.silent(s)
}

// TestClusterPostgresConnectionsCut cuts the relays' connections to their data base
// again and again.
func TestClusterPostgresConnectionsCut(t *testing.T) {
	testkit.OnlyCI(t, "loads three relays for seconds")
	t.Parallel()
	pg := pgtest.New(t)
	c := startCluster(t, inDatabase(t, pg)...)
	s := newStorm(t, c.origins(), c.newKey("storm"))
	s.run(func(ctx context.Context) {
		requests := startRequests(ctx, c)
		for range stormCuts {
			s.claimsOn(ctx)
			pg.Terminate(t)
		}
		requests.finish(ctx)
		s.claimsOn(ctx)
		c.recovered(ctx)
	})
	c.silent(s)
}

// stepTime is how long a storm waits for one event. It is shorter than the patience of
// other tests, so that a test fails soon if the store never comes back.
const stepTime = time.Minute

// claimsOn waits until the clients have claimed more kubbis.
func (s *storm) claimsOn(ctx context.Context) {
	s.t.Helper()
	s.grows(ctx, "claims", s.claims.Load, 50)
}

// sees503 waits until clients get 503, because the relay can't reach its store.
func (s *storm) sees503(ctx context.Context) {
	s.t.Helper()
	s.grows(ctx, "503s", s.unavailable.Load, 50)
}

func (s *storm) grows(ctx context.Context, what string, count func() int64, by int64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for until := count() + by; count() < until; {
		select {
		case <-ctx.Done():
			s.t.Fatalf("no more %s; %v", what, &s.outcomes)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// unready waits until every node is alive and not ready.
func (c *cluster) unready(ctx context.Context) {
	c.t.Helper()
	c.all(ctx, map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable, api.PathHealth: http.StatusServiceUnavailable})
}

// recovered waits until every node is ready, and checks that no node has ended.
func (c *cluster) recovered(ctx context.Context) {
	c.t.Helper()
	c.all(ctx, map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusOK, api.PathHealth: http.StatusOK})
	for _, n := range c.nodes {
		select {
		case err := <-n.exited:
			c.t.Fatalf("a node ended: %v\n%.5000s", err, n.log)
		default:
		}
	}
}

// all waits until every node answers each path with that status.
func (c *cluster) all(ctx context.Context, statuses map[string]int) {
	c.t.Helper()
	var wg sync.WaitGroup
	for _, n := range c.nodes {
		for path, status := range statuses {
			wg.Go(func() {
				got := 0
				for ; got != status; got = get(ctx, "http://"+n.addr+path) {
					if ctx.Err() != nil {
						c.t.Errorf("%s: status %d, want %d", path, got, status)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

// get gives the status of an answer, 0 if there is none, after a short pause.
func get(ctx context.Context, url string) int {
	select {
	case <-ctx.Done():
		return 0
	case <-time.After(20 * time.Millisecond):
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestClusterRotationOnPostgres is TestClusterRotation over a data base.
func TestClusterRotationOnPostgres(t *testing.T) {
	testkit.OnlyCI(t, "loads three relays for seconds")
	t.Parallel()
	rotate(t, inDatabase(t, pgtest.New(t)))
}

// TestClusterPythonSDKOnPostgres is TestClusterPythonSDK over a data base.
func TestClusterPythonSDKOnPostgres(t *testing.T) {
	t.Parallel()
	python := testkit.Needs(t, "KUBBI_PYTHON", "a Python with kubbi 0.1.0")
	pythonSDK(t, python, inDatabase(t, pgtest.New(t)))
}
