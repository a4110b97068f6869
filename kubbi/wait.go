package kubbi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"kubbi-mcp/kubbi/api"
)

// ReadOption changes one Get, Inspect or Asked.
type ReadOption func(*readConfig)

type readConfig struct{ wait time.Duration }

// WithWait makes the call wait for up to d until the status or the retrieval count has
// changed. After d without a change the call gives the unchanged state. A state that is final
// is given at once.
//
// A relay of ours answers as soon as there is a change. Other services are asked again every
// second, and later every five seconds.
func WithWait(d time.Duration) ReadOption { return func(c *readConfig) { c.wait = d } }

const (
	maxPolls     = 5               // the longest pause between polls, in units of Client.backoff
	shortestWait = 5 * time.Second // of one request, after others were cut
)

// reading reads the state of one thing, maybe again and again.
type reading[T any] struct {
	look func(request) (*T, http.Header, error)
	// state gives the status and the retrieval count, in the form of api.Seen, and whether the
	// status is final.
	state func(*T) (seen string, final bool)
}

// waitStateOf makes the results of reading.state.
func waitStateOf[S ~string](status, active S, retrievals int) (seen string, final bool) {
	return api.Seen(status, retrievals), status != active
}

// do sends a request and, with WithWait, waits for a change.
func (rd reading[T]) do(ctx context.Context, c *Client, r request, opts []ReadOption) (*T, error) {
	var cfg readConfig
	for _, o := range opts {
		o(&cfg)
	}
	end := time.Now().Add(cfg.wait)
	got, _, err := rd.look(r)
	if err != nil || cfg.wait <= 0 {
		return got, err
	}
	first, final := rd.state(got)
	r.seen = first
	longest := api.MaxWait * time.Second
	pauses := backoff.ExponentialBackOff{InitialInterval: c.backoff, RandomizationFactor: 0.25, Multiplier: 1.5, MaxInterval: maxPolls * c.backoff}
	pauses.Reset()
	for !final && time.Until(end) > 0 {
		left := time.Until(end)
		ask := r
		ask.wait, ask.once = min(left, longest).Truncate(time.Second), true
		if ask.wait == 0 { // the last second is not worth a request of its own
			if err := sleep(ctx, left); err != nil {
				return nil, ended(err)
			}
			got, _, err = rd.look(r)
			return got, err
		}
		start := time.Now()
		next, header, err := rd.look(ask)
		pause := min(pauses.NextBackOff(), maxPolls*c.backoff)
		if failed := (*Error)(nil); errors.As(err, &failed) && (failed.retryable() || errors.Is(err, ErrRateLimited)) {
			// The connection was lost, or something between cuts long requests. An ordinary
			// request, with its retries, says whether the service works at all.
			longest = max(longest/2, shortestWait)
			if err := sleep(ctx, min(max(pause, failed.RetryAfter), left)); err != nil {
				return nil, ended(err)
			}
			next, header, err = rd.look(r)
		}
		if err != nil {
			return nil, err
		}
		got = next
		var now string
		if now, final = rd.state(got); now != first {
			return got, nil
		}
		if header.Get(api.HeaderPreferenceApplied) != "" && time.Since(start) >= ask.wait/2 {
			pauses.Reset()
			continue
		}
		if err := sleep(ctx, min(pause, max(0, time.Until(end)))); err != nil {
			return nil, ended(err)
		}
	}
	return got, nil
}
