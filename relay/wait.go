package relay

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// A GET of one kubbi or request may wait until that has changed: see docs/wire.md. The wait
// ends early if the client goes away, and if StopWaits is called.

// waitable is a decoded request that can wait.
type waitable interface {
	// waitsFor says which kubbi it waits for, and who waits.
	waitsFor() (store.Number, waitClient)
	// recheck returns an error if the request's key has become invalid during the wait.
	recheck(rl *Relay, r *http.Request) error
}

// waitState is what a waiting request compares.
type waitState struct {
	text    string    // as api.Seen writes it
	ended   bool      // it changes no more
	expires time.Time // when it changes by itself
}

func waitStateOf[S ~string](status, active S, retrievals int, expires api.Time) waitState {
	return waitState{text: api.Seen(status, retrievals), ended: status != active, expires: expires.Time}
}

func kubbiState(k api.Kubbi) waitState {
	return waitStateOf(k.Status, api.StatusActive, k.RetrievalCount, k.ExpiresAt)
}

func inspectState(k api.InspectResponse) waitState {
	return waitStateOf(k.Status, api.StatusActive, k.RetrievalCount, k.ExpiresAt)
}

func askedState(a api.Asked) waitState {
	return waitStateOf(a.Status, api.RequestPending, 0, a.ExpiresAt)
}

func (r idRequest) waitsFor() (store.Number, waitClient) {
	_, n, _ := store.ParseID(r.id) // 0, of a wrong id, is no kubbi's number
	return n, waitClient{owner: r.by.Owner}
}

func (r idRequest) recheck(rl *Relay, req *http.Request) error { return rl.recheckKey(req, r.by) }

func (r consumerRequest) waitsFor() (store.Number, waitClient) {
	return r.token.key().Number, waitClient{from: r.from}
}

func (r consumerRequest) recheck(*Relay, *http.Request) error { return nil }

// serveWaiting is serve for a GET that can wait.
func serveWaiting[Req waitable, Resp any](rl *Relay, read func(http.Header, *http.Request) (Req, error),
	do func(context.Context, http.Header, Req) (Resp, error), state func(Resp) waitState) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		req, err := read(w.Header(), r)
		if err != nil {
			return err
		}
		var resp Resp
		look := func() (s waitState, err error) {
			if resp, err = do(r.Context(), w.Header(), req); err == nil {
				s = state(resp)
			}
			return s, err
		}
		if seconds := preferredWait(r.Header); seconds == 0 {
			_, err = look()
		} else if err = rl.wait(w, r, req, seconds, look); err == nil {
			err = req.recheck(rl, r)
		}
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, resp)
	}
}

// preferredWait gives the seconds that a client wants to wait; 0: it does not. An invalid
// preference is ignored, as RFC 7240 says.
func preferredWait(h http.Header) int {
	for _, line := range h.Values(api.HeaderPrefer) {
		for preference := range strings.SplitSeq(line, ",") {
			preference, _, _ = strings.Cut(preference, ";") // its parameters
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 32)
			if err != nil {
				return 0
			}
			return int(min(n, api.MaxWait)) // of several the first counts
		}
	}
	return 0
}

// wait looks until the state is another one than at the beginning, or the one that the client
// knows. If the request may not wait, it looks once, and Preference-Applied is not set.
func (rl *Relay) wait(w http.ResponseWriter, r *http.Request, req waitable, seconds int, look func() (waitState, error)) error {
	number, client := req.waitsFor()
	me := rl.waiters.join(number, client)
	if me == nil {
		_, err := look()
		return err
	}
	defer rl.waiters.leave(me)
	now, err := look()
	applied := api.HeaderPreferenceApplied
	w.Header().Set(applied, "wait="+strconv.Itoa(seconds))
	before := now.text
	if seen := r.Header.Get(api.HeaderSeen); seen != "" {
		before = seen
	}
	if err != nil || now.ended || now.text != before {
		return err
	}
	if begin, ok := r.Context().Value(onWait{}).(func()); ok {
		begin()
	}
	start := time.Now()
	if rec, ok := w.(*recorder); ok {
		defer func() { rec.waited = time.Since(start) }()
	}
	end := start.Add(time.Duration(seconds) * time.Second)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(min(time.Until(end), max(now.expires.Sub(rl.now()), time.Millisecond)))
		over := false
		select {
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // nobody gets an answer
		case <-me.stopped:
			w.Header().Del(applied)
			over = true
		case <-me.wake:
		case <-timer.C:
			over = !time.Now().Before(end)
		}
		now, err = look()
		if err != nil || now.ended || now.text != before || over {
			return err
		}
	}
}

// onWait is the context key of OnWait.
type onWait struct{}

// OnWait gives a context for a request. If the request waits for a change, begin is called
// when its wait begins: from then on the request needs almost nothing, so it should not count
// as one that runs.
func OnWait(ctx context.Context, begin func()) context.Context {
	return context.WithValue(ctx, onWait{}, begin)
}

// Waiting is how many requests wait for a change, or have just begun or ended to.
func (rl *Relay) Waiting() int { return rl.waiters.count() }

// StopWaits answers all requests that wait for a change, and lets no request wait until resume
// is called. It is for a server that shuts down.
func (rl *Relay) StopWaits() (resume func()) { return rl.waiters.stop() }
