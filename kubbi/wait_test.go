package kubbi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kubbi-mcp/kubbi/api"
)

// waitingService is a service with one kubbi, in the fake time of synctest.
type waitingService struct {
	t       *testing.T
	begin   time.Time
	change  time.Duration // when the kubbi is claimed; 0: never
	ignores bool          // Prefer
	lies    bool          // it says at once that it has waited
	cut     time.Duration // how long a request may last; 0: any time
	down    [2]time.Duration
	limited [2]time.Duration // answers 429

	requests, waits int
}

func (s *waitingService) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests++
	now := time.Since(s.begin)
	within := func(times [2]time.Duration) bool { return times[0] <= now && now < times[1] }
	rec := httptest.NewRecorder()
	prefer := r.Header.Get(api.HeaderPrefer)
	wait := time.Duration(0)
	if prefer != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(prefer, "wait="))
		if err != nil || n < 1 || n > api.MaxWait {
			s.t.Errorf("%s: %q", api.HeaderPrefer, prefer)
		}
		if seen := r.Header.Get(api.HeaderSeen); seen != "active/0" {
			s.t.Errorf("%s: %q", api.HeaderSeen, seen)
		}
		s.waits++
		wait = time.Duration(n) * time.Second
	}
	changed := func() bool { return s.change > 0 && time.Since(s.begin) >= s.change }
	switch {
	case within(s.down):
		return nil, errors.New("connection refused")
	case within(s.limited):
		rec.Header().Set("Retry-After", "7")
		refuse(rec, api.CodeRateLimited, "slow down")
		return rec.Result(), nil
	case s.ignores || wait == 0:
	case s.lies:
		rec.Header().Set(api.HeaderPreferenceApplied, prefer)
	default:
		rec.Header().Set(api.HeaderPreferenceApplied, prefer)
		for end := time.Now().Add(wait); !changed() && time.Now().Before(end); {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			if s.cut > 0 && time.Since(s.begin) >= now+s.cut {
				return &http.Response{StatusCode: http.StatusGatewayTimeout, Body: http.NoBody}, nil
			}
			if within(s.down) || time.Since(s.begin) >= s.down[0] && now < s.down[0] {
				return nil, io.ErrUnexpectedEOF
			}
		}
	}
	k := okKubbi
	if changed() {
		k.RetrievalCount = 1
	}
	if strings.HasSuffix(r.URL.Path, api.SuffixInspect) {
		answer(rec, 200, api.InspectResponse{Status: k.Status, ContentType: k.ContentType, RetrievalCount: k.RetrievalCount})
	} else {
		answer(rec, 200, k)
	}
	return rec.Result(), nil
}

func TestWithWait(t *testing.T) {
	const minutes = time.Minute
	never := 24 * time.Hour
	for name, tc := range map[string]struct {
		service waitingService
		wait    time.Duration
		ctx     time.Duration // when its context ends; 0: never
		min     time.Duration // when the call ends
		max     time.Duration
		count   int // retrievals
		err     error
		most    int // requests
	}{
		"a change":                {service: waitingService{change: 20 * time.Second}, wait: minutes, min: 20 * time.Second, max: 21 * time.Second, count: 1, most: 2},
		"a late change":           {service: waitingService{change: 3 * minutes}, wait: 10 * minutes, min: 3 * minutes, max: 3*minutes + time.Second, count: 1, most: 5},
		"no change":               {wait: 2*minutes + 500*time.Millisecond, min: 2*minutes + 500*time.Millisecond, max: 2*minutes + 501*time.Millisecond, most: 5},
		"less than a second":      {wait: 300 * time.Millisecond, min: 300 * time.Millisecond, max: 301 * time.Millisecond, most: 2},
		"no wait":                 {wait: 0, most: 1},
		"a service without waits": {service: waitingService{ignores: true, change: 30 * time.Second}, wait: minutes, min: 30 * time.Second, max: 37 * time.Second, count: 1, most: 14},
		"soon, without waits":     {service: waitingService{ignores: true, change: time.Second}, wait: minutes, min: time.Second, max: 4 * time.Second, count: 1, most: 4},
		"no change, no waits":     {service: waitingService{ignores: true}, wait: minutes, min: minutes, max: minutes + time.Millisecond, most: 20},
		"a service that lies":     {service: waitingService{lies: true}, wait: minutes, min: minutes, max: minutes + time.Millisecond, most: 20},
		"a proxy that cuts":       {service: waitingService{cut: 30 * time.Second, change: 3 * minutes}, wait: 10 * minutes, min: 3 * minutes, max: 3*minutes + 3*time.Second, count: 1, most: 12},
		"a restart":               {service: waitingService{down: [2]time.Duration{20 * time.Second, 22 * time.Second}, change: 21 * time.Second}, wait: minutes, min: 22 * time.Second, max: 26 * time.Second, count: 1, most: 6},
		"a service that is gone":  {service: waitingService{down: [2]time.Duration{20 * time.Second, never}}, wait: 10 * minutes, min: 20 * time.Second, max: 35 * time.Second, err: ErrNetwork, most: 6},
		"a rate limit":            {service: waitingService{ignores: true, limited: [2]time.Duration{10 * time.Second, 18 * time.Second}, change: 12 * time.Second}, wait: minutes, min: 18 * time.Second, max: 30 * time.Second, count: 1, most: 10},
		"no end of a rate limit":  {service: waitingService{limited: [2]time.Duration{time.Millisecond, never}}, wait: minutes, min: 57 * time.Second, max: 58 * time.Second, err: ErrRateLimited, most: 4},
		"a context that ends":     {wait: minutes, ctx: 10 * time.Second, min: 10 * time.Second, max: 10*time.Second + time.Millisecond, err: context.Canceled, most: 2},
		"one that ends in polls":  {service: waitingService{ignores: true}, wait: minutes, ctx: 10 * time.Second, min: 10 * time.Second, max: 10*time.Second + time.Millisecond, err: context.Canceled, most: 8},
	} {
		for call, do := range map[string]func(context.Context, *Client, time.Duration) (int, error){
			"Get": func(ctx context.Context, c *Client, d time.Duration) (int, error) {
				k, err := c.Get(ctx, testID, WithWait(d))
				if err != nil {
					return 0, err
				}
				return k.RetrievalCount, nil
			},
			"Inspect": func(ctx context.Context, c *Client, d time.Duration) (int, error) {
				in, err := c.Inspect(ctx, testToken, WithWait(d))
				if err != nil {
					return 0, err
				}
				return in.RetrievalCount, nil
			},
		} {
			t.Run(name+"/"+call, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					service := tc.service
					service.t, service.begin = t, time.Now()
					c, err := NewClient("kb_test-key", WithBaseURL("https://relay.test"), WithTransport(&service))
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if tc.ctx > 0 {
						time.AfterFunc(tc.ctx, cancel)
					}
					count, err := do(ctx, c, tc.wait)
					if took := time.Since(service.begin); took < tc.min || took > tc.max {
						t.Errorf("it took %v, want %v to %v", took, tc.min, tc.max)
					}
					if !errors.Is(err, tc.err) || count != tc.count {
						t.Errorf("%d retrievals, error %v; want %d, %v", count, err, tc.count, tc.err)
					}
					if service.requests > tc.most {
						t.Errorf("%d requests, %d of which waited; want %d at most", service.requests, service.waits, tc.most)
					}
				})
			})
		}
	}
}
