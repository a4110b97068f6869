package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/relay/store"
)

const (
	probeTimeout = 2 * time.Second  // for the checks together
	checkEvery   = time.Second      // the least time between two runs of the checks
	slowEvery    = 10 * time.Second // the same for a check of keys or clocks that has passed
	watchedFor   = time.Minute      // a client that watches /readyz asks at least this often
)

// MaxSkew is how much a relay's clock may differ from the clock of its store. Expiry, graces
// and quotas follow the clocks of the relays, so these must agree. Otherwise an idempotency
// key could count twice.
const MaxSkew = time.Second

// readiness is the answer of /readyz. A check that has passed says "ok".
type readiness struct {
	Status  string `json:"status"` // "ready" or "not ready"
	Process string `json:"process"`
	Store   string `json:"store"`
	Keyring string `json:"keyring"`
	Clock   string `json:"clock"`
}

const ok = "ok"

func (r *readiness) ready() bool {
	return r.Process == ok && r.Store == ok && r.Keyring == ok && r.Clock == ok
}

// check is a check that runs less often after it has passed.
type check struct {
	run   func(context.Context) (state string, err error)
	state string
	at    time.Time
}

// update runs the check if it is due. The error says why it did not pass.
func (c *check) update(ctx context.Context) (err error) {
	if c.state != ok || time.Since(c.at) >= slowEvery {
		c.state, err = c.run(ctx)
		c.at = time.Now()
	}
	return err
}

// readinessProbe decides whether the service should get requests.
type readinessProbe struct {
	store store.Store
	log   *slog.Logger

	checking sync.Mutex // held while the checks run; guards the fields below
	keys     check
	clock    check
	last     readiness
	checked  time.Time

	mu       sync.Mutex // guards the fields below
	stopping bool
	asked    time.Time
}

func newReadinessProbe(db store.Store, ring *keyring.Live, log *slog.Logger) *readinessProbe {
	return &readinessProbe{
		store: db, log: log,
		keys:  check{run: func(ctx context.Context) (string, error) { return checkKeys(ctx, ring) }},
		clock: check{run: func(ctx context.Context) (string, error) { return checkClock(ctx, db) }},
	}
}

// stop makes the service not ready, and reports whether a client watches /readyz.
func (p *readinessProbe) stop() (watched bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	return !p.asked.IsZero() && time.Since(p.asked) < watchedFor
}

// ask returns the readiness, which is at most about a second old.
func (p *readinessProbe) ask(ctx context.Context) readiness {
	p.checking.Lock()
	if time.Since(p.checked) >= checkEvery {
		p.check(ctx)
	}
	r := p.last
	p.checking.Unlock()

	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = time.Now()
	if p.stopping {
		r.Process = "about to stop"
	}
	if r.Status = "ready"; !r.ready() {
		r.Status = "not ready"
	}
	return r
}

func (p *readinessProbe) check(ctx context.Context) {
	// Other clients wait for the result, so it must not depend on the one that asked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	before, first := p.last, p.checked.IsZero()
	p.last = readiness{Process: ok, Store: ok, Keyring: "not known", Clock: "not known"}
	why := p.store.Ping(ctx)
	if why != nil {
		p.last.Store = "unreachable"
	} else {
		why = errors.Join(p.clock.update(ctx), p.keys.update(ctx))
		p.last.Clock, p.last.Keyring = p.clock.state, p.keys.state
	}
	p.checked = time.Now()
	switch is, was := p.last.ready(), before.ready(); {
	case !is && (was || first):
		p.log.LogAttrs(ctx, slog.LevelWarn, "relay is not ready for requests", slog.Any("err", why))
	case is && !was && !first:
		p.log.LogAttrs(ctx, slog.LevelInfo, "relay is ready for requests again")
	}
}

// checkKeys checks that the keyring has every key that the store needs.
func checkKeys(ctx context.Context, ring *keyring.Live) (state string, err error) {
	err = ring.CheckComplete(ctx, "the store")
	switch {
	case err == nil:
		return ok, nil
	case errors.Is(err, keyring.ErrLost):
		return "lacks a key that the store needs", err
	}
	return "not known", err
}

// checkClock compares this machine's clock with the clock of the store.
func checkClock(ctx context.Context, db store.Store) (state string, err error) {
	start := time.Now()
	ahead, err := db.Skew(ctx)
	switch slack := time.Since(start) / 2; {
	case err != nil:
		return "not known", err
	case ahead.Abs() > MaxSkew+slack:
		state = SkewText(ahead)
		return state, fmt.Errorf("clock %s: let both be set by NTP", state)
	}
	return ok, nil
}

// SkewText describes the clock of this machine, if the store's clock is ahead of it by that
// time.
func SkewText(ahead time.Duration) string {
	way := "behind"
	if ahead < 0 {
		way = "ahead of"
	}
	return fmt.Sprintf("is %s %s the data base's", ahead.Abs().Round(time.Millisecond), way)
}

// addProbes adds /livez and /readyz to a mux.
func (s *Service) addProbes(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, struct {
			Status string `json:"status"`
		}{ok})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		is := s.readiness.ask(r.Context())
		status := http.StatusOK
		if !is.ready() {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, is)
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if json.MarshalWrite(w, v) == nil { // else the client has gone
		_, _ = io.WriteString(w, "\n")
	}
}
