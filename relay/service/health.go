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
	probePatience = 2 * time.Second  // for a check
	checksAge     = time.Second      // in which checks are not done anew, however many ask
	keysAge       = 10 * time.Second // in which the store is not asked anew which keys it needs, nor what time it is
	watchedFor    = time.Minute      // in which somebody who has asked will ask again
)

// MaxSkew is how far a relay's clock may be from its store's: expiry, grace and
// quotas go by the relays' clocks, and idempotency keys count once only where these
// agree.
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

// health knows whether a service should be sent requests.
type health struct {
	store   store.Store
	keyring *keyring.Live
	log     *slog.Logger

	checking sync.Mutex // held while the checks are done
	last     readiness
	checked  time.Time
	keys     string // what the last look at the keys came to
	looked   time.Time
	clock    string // what the last look at the clocks came to
	compared time.Time

	mu       sync.Mutex
	stopping bool
	asked    time.Time
}

// stop lets it not be ready any more, and says whether anybody watches.
func (h *health) stop() (watched bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
	return !h.asked.IsZero() && time.Since(h.asked) < watchedFor
}

// ask gives the state of things, about a second old at most.
func (h *health) ask(ctx context.Context) readiness {
	h.checking.Lock()
	if time.Since(h.checked) >= checksAge {
		h.check(ctx)
	}
	r := h.last
	h.checking.Unlock()

	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = time.Now()
	if h.stopping {
		r.Process = "about to stop"
	}
	if r.Status = "ready"; !r.ready() {
		r.Status = "not ready"
	}
	return r
}

func (h *health) check(ctx context.Context) {
	// Others wait for what comes of it, so it doesn't end with who asked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probePatience)
	defer cancel()
	before := h.last
	h.last = readiness{Process: ok, Store: ok, Keyring: "not known", Clock: "not known"}
	var why error
	if why = h.store.Ping(ctx); why != nil {
		h.last.Store = "unreachable"
	} else {
		var skewed error
		if h.clock != ok || time.Since(h.compared) >= keysAge {
			h.clock, skewed = h.lookAtClock(ctx)
			h.compared = time.Now()
		}
		h.last.Clock = h.clock
		if h.keys != ok || time.Since(h.looked) >= keysAge {
			h.keys, why = h.lookAtKeys(ctx)
			h.looked = time.Now()
		}
		h.last.Keyring = h.keys
		why = errors.Join(why, skewed)
	}
	first := h.checked.IsZero()
	h.checked = time.Now()
	switch is, was := h.last.ready(), before.ready(); {
	case !is && (was || first):
		h.log.LogAttrs(ctx, slog.LevelWarn, "relay is not ready for requests", slog.Any("err", why))
	case is && !was && !first:
		h.log.LogAttrs(ctx, slog.LevelInfo, "relay is ready for requests again")
	}
}

// lookAtKeys looks whether a key is missing, and says why it thinks so.
func (h *health) lookAtKeys(ctx context.Context) (keys string, why error) {
	err := h.keyring.CheckComplete(ctx, "the store")
	switch {
	case err == nil:
		return ok, nil
	case errors.Is(err, keyring.ErrLost):
		return "lacks a key that the store needs", err
	}
	return "not known", err
}

// lookAtClock compares this machine's clock with that of the store.
func (h *health) lookAtClock(ctx context.Context) (clock string, why error) {
	start := time.Now()
	ahead, err := h.store.Skew(ctx)
	switch slack := time.Since(start) / 2; {
	case err != nil:
		return "not known", err
	case ahead.Abs() > MaxSkew+slack:
		clock = SkewText(ahead)
		return clock, fmt.Errorf("clock %s: let both be set by NTP", clock)
	}
	return ok, nil
}

// SkewText says where this machine's clock stands, if the store's is ahead by so
// much.
func SkewText(ahead time.Duration) string {
	way := "behind"
	if ahead < 0 {
		way = "ahead of"
	}
	return fmt.Sprintf("is %s %s the data base's", ahead.Abs().Round(time.Millisecond), way)
}

// probes adds the probes to a mux.
func (s *Service) probes(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, struct {
			Status string `json:"status"`
		}{ok})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		is := s.health.ask(r.Context())
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
