package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

const (
	maxRunning = 8   // attempts of a node at a time
	maxOfHost  = 2   // of these, to one host: a slow one does not hold up the others
	maxWaiting = 256 // notices taken from the store that wait for their host
	batch      = 32  // notices taken in one step

	// lease is for how long nobody else delivers what was taken. An attempt is
	// begun only while there is time left for it.
	lease      = 2 * time.Minute
	staleAfter = lease - 2*attemptTimeout

	// slowAfter is when a host is slow of which no attempt has ended meanwhile.
	slowAfter = 2 * time.Second

	storeTimeout = 5 * time.Second // of what has to be kept although Run has been told to end
	drainTime    = 5 * time.Second // for attempts under way when Run is told to end
)

// desk is what one Run has in hand. Only Run's goroutine touches it.
type desk struct {
	*Sender
	waiting []*job
	running int
	ofHost  map[string]*host
	done    chan *job
}

// host is what runs to a host.
type host struct {
	running int
	moved   time.Time // when the last attempt ended, or the first began
}

func (h *host) slow() bool { return time.Since(h.moved) > slowAfter }

// job is a notice that was taken from the store.
type job struct {
	notice  store.Notice
	to      *Target
	receipt *api.Receipt
	host    string
	taken   time.Time
}

// Run delivers notices until ctx ends, and returns nil. Attempts that are under
// way then have a few seconds to end; what is cut off, or was not begun, is
// due for others at once. Failures of the store are logged, and tried again.
func (s *Sender) Run(ctx context.Context) error {
	d := &desk{Sender: s, ofHost: map[string]*host{}, done: make(chan *job, maxRunning)}
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer s.public.CloseIdleConnections()
	defer s.inner.CloseIdleConnections()
	tick := time.NewTimer(0)
	defer tick.Stop()
	for look := false; ; {
		if look && len(d.waiting) < maxWaiting {
			look = d.take(ctx)
		}
		d.start(work)
		if look && len(d.waiting) < maxWaiting && ctx.Err() == nil {
			continue // there is more
		}
		select {
		case <-ctx.Done():
			d.drain(cut)
			return nil
		case <-s.wake:
			look = true
		case <-tick.C:
			look = true
			d.tidy(ctx)
			// Many nodes look into one store: jitter keeps them from doing it at once.
			tick.Reset(s.cfg.Poll*3/4 + rand.N(s.cfg.Poll/2+1))
		case j := <-d.done:
			d.ended(j)
		}
	}
}

// take gets notices that are due. It says whether there may be more.
func (d *desk) take(ctx context.Context) (more bool) {
	limit := min(batch, maxWaiting-len(d.waiting))
	taken := time.Now()
	notices, err := d.cfg.Store.Notices(ctx, d.cfg.Now(), lease, limit)
	if err != nil {
		if ctx.Err() == nil {
			d.cfg.Logger.LogAttrs(ctx, slog.LevelError, "notices not read", slog.Any("err", err))
		}
		return false
	}
	for i := range notices {
		j := &job{notice: notices[i], taken: taken}
		if j.to, j.receipt, err = d.cfg.Open(&j.notice); err != nil {
			d.failed(ctx, j, 0, "it can't be opened: "+err.Error())
			continue
		}
		if !j.to.wants(api.Event(strings.TrimPrefix(j.receipt.Type, api.ReceiptPrefix))) {
			d.remove(ctx, j)
			continue
		}
		j.host = hostOf(j.to)
		d.waiting = append(d.waiting, j)
	}
	return len(notices) == limit
}

// start begins attempts where there is room, oldest notices first.
func (d *desk) start(work context.Context) {
	d.waiting = slices.DeleteFunc(d.waiting, func(j *job) bool {
		h := d.ofHost[j.host]
		if d.running == maxRunning || h != nil && h.running == maxOfHost {
			return false
		}
		if time.Since(j.taken) > staleAfter {
			return true // somebody takes it when its lease ends
		}
		d.running++
		if h == nil {
			h = &host{moved: time.Now()}
			d.ofHost[j.host] = h
		}
		h.running++
		go func() {
			defer func() { d.done <- j }() // has room for all that run
			d.attempt(work, j)
		}()
		return true
	})
}

func (d *desk) ended(j *job) {
	d.running--
	h := d.ofHost[j.host]
	h.moved = time.Now()
	if h.running--; h.running == 0 {
		delete(d.ofHost, j.host)
	}
}

// tidy makes room where all that waits waits for slow hosts: it is put off, the
// longer the more often. What waits for a host that answers is only many.
func (d *desk) tidy(ctx context.Context) {
	if len(d.waiting) < maxWaiting {
		return
	}
	d.waiting = slices.DeleteFunc(d.waiting, func(j *job) bool {
		h := d.ofHost[j.host]
		if time.Since(j.taken) < d.cfg.Poll || h != nil && !h.slow() {
			return false
		}
		d.later(ctx, j, putOff(j.notice.Attempts))
		return true
	})
}

// drain waits for attempts under way, and cuts off those that take too long.
func (d *desk) drain(cut context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for _, j := range d.waiting {
		if ctx.Err() == nil { // else a lease ends by itself
			d.later(ctx, j, 0)
		}
	}
	defer context.AfterFunc(ctx, cut)()
	for d.running > 0 {
		d.ended(<-d.done)
	}
}

// attempt posts a notice, and keeps what came of it.
func (s *Sender) attempt(ctx context.Context, j *job) {
	got, err := s.post(ctx, j.notice.ID, j.to, j.receipt)
	switch {
	case err != nil && ctx.Err() != nil: // cut off by drain
		s.later(ctx, j, 0)
	case err != nil:
		s.failed(ctx, j, 0, reason(err))
	case got.status/100 == 2:
		s.remove(ctx, j)
		s.log(ctx, slog.LevelDebug, "webhook delivered", j)
		s.cfg.Observe(Delivered)
	case got.status == http.StatusGone:
		s.giveUp(ctx, j, "status 410: the receiver is gone for good")
	default:
		s.failed(ctx, j, got.after, fmt.Sprintf("status %d", got.status))
	}
}

// failed puts a notice off, or gives it up.
func (s *Sender) failed(ctx context.Context, j *job, asked time.Duration, why string) {
	wait, ok := next(j.notice.Attempts, s.cfg.Now().Sub(j.notice.At), asked)
	if !ok {
		s.giveUp(ctx, j, why)
		return
	}
	s.later(ctx, j, wait)
	s.log(ctx, slog.LevelInfo, "webhook failed", j, slog.String("why", why), slog.Duration("next", wait.Round(time.Second)))
	s.cfg.Observe(Failed)
}

func (s *Sender) giveUp(ctx context.Context, j *job, why string) {
	s.remove(ctx, j)
	s.log(ctx, slog.LevelWarn, "webhook given up", j, slog.String("why", why))
	s.cfg.Observe(GivenUp)
}

func (s *Sender) later(ctx context.Context, j *job, wait time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	s.kept(ctx, j, s.cfg.Store.NoticeLater(ctx, j.notice.ID, s.cfg.Now().Add(wait)))
}

func (s *Sender) remove(ctx context.Context, j *job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	s.kept(ctx, j, s.cfg.Store.NoticeDone(ctx, j.notice.ID))
}

// kept logs that the store did not take what came of an attempt: the notice is
// due again when its lease ends.
func (s *Sender) kept(ctx context.Context, j *job, err error) {
	if err != nil {
		s.log(ctx, slog.LevelError, "what came of a webhook is not kept", j, slog.Any("err", err))
	}
}

// log names a kubbi and a host: the rest of a URL may be a secret.
func (s *Sender) log(ctx context.Context, level slog.Level, message string, j *job, more ...slog.Attr) {
	attrs := []slog.Attr{slog.String("kubbi", j.notice.Kubbi.ID), slog.Int("attempt", j.notice.Attempts)}
	if j.receipt != nil {
		attrs = append(attrs, slog.String("type", j.receipt.Type), slog.String("host", j.host))
	}
	s.cfg.Logger.LogAttrs(ctx, level, message, append(attrs, more...)...)
}
