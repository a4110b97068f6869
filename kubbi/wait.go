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

// waitState is what an answer says about the state of a kubbi or a request.
type waitState struct {
	seen   string // status and retrieval count, in the form of api.Seen
	final  bool   // the state does not change any more
	waited bool   // the server waits if it is asked to
}

func waitStateOf[S ~string](header http.Header, status, active S, retrievals int) waitState {
	return waitState{
		seen:   api.Seen(status, retrievals),
		final:  status != active,
		waited: header.Get(api.HeaderPreferenceApplied) != "",
	}
}

// read sends a request with look and, with WithWait, waits for a change.
func read[T any](ctx context.Context, c *Client, r request, opts []ReadOption, look func(request) (*T, waitState, error)) (*T, error) {
	var cfg readConfig
	for _, o := range opts {
		o(&cfg)
	}
	end := time.Now().Add(cfg.wait)
	got, now, err := look(r)
	if err != nil || cfg.wait <= 0 {
		return got, err
	}
	r.seen = now.seen
	longest := api.MaxWait * time.Second
	pauses := backoff.ExponentialBackOff{InitialInterval: c.backoff, RandomizationFactor: 0.25, Multiplier: 1.5, MaxInterval: maxPolls * c.backoff}
	pauses.Reset()
	for !now.final && time.Until(end) > 0 {
		left := time.Until(end)
		ask := r
		ask.wait, ask.once = min(left, longest).Truncate(time.Second), true
		if ask.wait == 0 { // the last second is not worth a request of its own
			if err := sleep(ctx, left); err != nil {
				return nil, ended(err)
			}
			got, _, err = look(r)
			return got, err
		}
		start := time.Now()
		got, now, err = look(ask)
		pause := min(pauses.NextBackOff(), maxPolls*c.backoff)
		if failed, ok := errors.AsType[*Error](err); ok && (failed.retryable() || errors.Is(err, ErrRateLimited)) {
			// The connection was lost, or something between cuts long requests. An ordinary
			// request, with its retries, says whether the service works at all.
			longest = max(longest/2, shortestWait)
			if err := sleep(ctx, min(max(pause, failed.RetryAfter), left)); err != nil {
				return nil, ended(err)
			}
			got, now, err = look(r)
		}
		if err != nil || now.seen != r.seen {
			return got, err
		}
		if now.waited && time.Since(start) >= ask.wait/2 {
			pauses.Reset()
			continue
		}
		if err := sleep(ctx, min(pause, max(0, time.Until(end)))); err != nil {
			return nil, ended(err)
		}
	}
	return got, nil
}
