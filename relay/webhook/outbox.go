package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"kubbi-mcp/relay/store"
)

const (
	maxRunning = 8   // attempts of a node at the same time
	maxPerHost = 2   // of these, to one host, so that a slow host does not delay the others
	maxWaiting = 256 // notices that are leased and wait for their host
	batch      = 32  // notices that are leased in one step

	// lease is how long no other node delivers a notice. An attempt starts only if enough
	// of the lease is left.
	lease      = 2 * time.Minute
	staleAfter = lease - 2*attemptTimeout

	// slowAfter is how long no attempt to a host ends before the host counts as slow.
	slowAfter = 2 * time.Second

	storeTimeout = 5 * time.Second // to store a result, even while Run is ending
	drainTime    = 5 * time.Second // for running attempts after Run's context has ended
)

// outbox holds the notices that one Run has leased. Only Run's goroutine uses it.
type outbox struct {
	*Sender
	waiting []*delivery
	running int
	hosts   map[string]*host // with running attempts
	done    chan *delivery
}

// host counts the running attempts to a host.
type host struct {
	running  int
	progress time.Time // when the last attempt ended, or the first one started
}

func (h *host) slow() bool { return time.Since(h.progress) > slowAfter }

// delivery is a leased notice.
type delivery struct {
	notice  store.Notice
	to      *Target
	receipt *Receipt
	host    string
	leased  time.Time
}

// Run delivers notices until ctx ends, and returns nil. Running attempts then have a few
// seconds to end. A notice whose attempt is cancelled or has not started is due for other
// nodes at once. Failures of the store are logged and retried.
func (s *Sender) Run(ctx context.Context) error {
	o := &outbox{Sender: s, hosts: map[string]*host{}, done: make(chan *delivery, maxRunning)}
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer s.https.CloseIdleConnections()
	defer s.plain.CloseIdleConnections()
	tick := time.NewTimer(0)
	defer tick.Stop()
	for look := false; ; {
		if look && len(o.waiting) < maxWaiting {
			look = o.leaseDue(ctx)
		}
		o.start(work)
		if look && len(o.waiting) < maxWaiting && ctx.Err() == nil {
			continue // there is more
		}
		select {
		case <-ctx.Done():
			o.drain(cut)
			return nil
		case <-s.wake:
			look = true
		case <-tick.C:
			look = true
			o.postponeSlow(ctx)
			// Many nodes read one store. Jitter spreads them.
			tick.Reset(s.cfg.Poll*3/4 + rand.N(s.cfg.Poll/2+1))
		case d := <-o.done:
			o.ended(d)
		}
	}
}

// leaseDue leases notices that are due. It reports whether there may be more.
func (o *outbox) leaseDue(ctx context.Context) (more bool) {
	limit := min(batch, maxWaiting-len(o.waiting))
	leased := time.Now()
	notices, err := o.cfg.Store.Notices(ctx, o.cfg.Now(), lease, limit)
	if err != nil {
		if ctx.Err() == nil {
			o.cfg.Logger.LogAttrs(ctx, slog.LevelError, "notices not read", slog.Any("err", err))
		}
		return false
	}
	for _, n := range notices {
		d := &delivery{notice: n, leased: leased}
		if d.to, d.receipt, err = o.cfg.Open(&d.notice); err != nil {
			o.failed(ctx, d, 0, "it can't be opened: "+err.Error())
			continue
		}
		if d.receipt == nil || !d.to.wants(d.receipt.Event) {
			o.remove(ctx, d)
			continue
		}
		d.host = hostOf(d.to)
		o.waiting = append(o.waiting, d)
	}
	return len(notices) == limit
}

// start starts attempts where there is room, oldest notices first.
func (o *outbox) start(work context.Context) {
	o.waiting = slices.DeleteFunc(o.waiting, func(d *delivery) bool {
		h := o.hosts[d.host]
		if o.running == maxRunning || h != nil && h.running == maxPerHost {
			return false
		}
		if time.Since(d.leased) > staleAfter {
			return true // a node leases it again when the lease ends
		}
		o.running++
		if h == nil {
			h = &host{progress: time.Now()}
			o.hosts[d.host] = h
		}
		h.running++
		go func() {
			defer func() { o.done <- d }() // has room for all running attempts
			o.attempt(work, d)
		}()
		return true
	})
}

func (o *outbox) ended(d *delivery) {
	o.running--
	h := o.hosts[d.host]
	h.progress = time.Now()
	if h.running--; h.running == 0 {
		delete(o.hosts, d.host)
	}
}

// postponeSlow makes room if the outbox is full of notices for slow hosts. Each time a notice
// is postponed, it waits longer. Notices for a host that answers stay in the outbox.
func (o *outbox) postponeSlow(ctx context.Context) {
	if len(o.waiting) < maxWaiting {
		return
	}
	o.waiting = slices.DeleteFunc(o.waiting, func(d *delivery) bool {
		h := o.hosts[d.host]
		if time.Since(d.leased) < o.cfg.Poll || h != nil && !h.slow() {
			return false
		}
		o.postpone(ctx, d, slowHostWait(d.notice.Attempts))
		return true
	})
}

// drain waits for running attempts, and cancels those that take too long.
func (o *outbox) drain(cut context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for _, d := range o.waiting {
		if ctx.Err() == nil { // else the lease ends by itself
			o.postpone(ctx, d, 0)
		}
	}
	defer context.AfterFunc(ctx, cut)()
	for o.running > 0 {
		o.ended(<-o.done)
	}
}

// attempt posts a receipt, and stores the result.
func (s *Sender) attempt(ctx context.Context, d *delivery) {
	got, err := s.post(ctx, d.notice.ID, d.to, d.receipt)
	switch {
	case err != nil && ctx.Err() != nil: // cancelled by drain
		s.postpone(ctx, d, 0)
	case err != nil:
		s.failed(ctx, d, 0, reason(err))
	case got.status/100 == 2:
		s.remove(ctx, d)
		s.log(ctx, slog.LevelDebug, "webhook delivered", d)
		s.cfg.Observe(Delivered)
	case got.status == http.StatusGone:
		s.giveUp(ctx, d, "status 410: the receiver is gone for good")
	default:
		s.failed(ctx, d, got.after, fmt.Sprintf("status %d", got.status))
	}
}

// failed postpones a notice, or gives it up.
func (s *Sender) failed(ctx context.Context, d *delivery, asked time.Duration, why string) {
	wait, ok := nextWait(d.notice.Attempts, s.cfg.Now().Sub(d.notice.At), asked)
	if !ok {
		s.giveUp(ctx, d, why)
		return
	}
	s.postpone(ctx, d, wait)
	s.log(ctx, slog.LevelInfo, "webhook failed", d, slog.String("why", why), slog.Duration("next", wait.Round(time.Second)))
	s.cfg.Observe(Failed)
}

func (s *Sender) giveUp(ctx context.Context, d *delivery, why string) {
	s.remove(ctx, d)
	s.log(ctx, slog.LevelWarn, "webhook given up", d, slog.String("why", why))
	s.cfg.Observe(GivenUp)
}

func (s *Sender) postpone(ctx context.Context, d *delivery, wait time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	s.logUnstored(ctx, d, s.cfg.Store.NoticeLater(ctx, d.notice.ID, s.cfg.Now().Add(wait)))
}

func (s *Sender) remove(ctx context.Context, d *delivery) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	s.logUnstored(ctx, d, s.cfg.Store.NoticeDone(ctx, d.notice.ID))
}

// logUnstored logs that the result of an attempt could not be stored. Then the notice is due
// again when its lease ends.
func (s *Sender) logUnstored(ctx context.Context, d *delivery, err error) {
	if err != nil {
		s.log(ctx, slog.LevelError, "result of a webhook not stored", d, slog.Any("err", err))
	}
}

// log names the kubbi and the host only: the rest of the URL may be a secret.
func (s *Sender) log(ctx context.Context, level slog.Level, message string, d *delivery, more ...slog.Attr) {
	attrs := []slog.Attr{slog.String("kubbi", d.notice.Kubbi.ID), slog.Int("attempt", d.notice.Attempts)}
	if d.receipt != nil {
		attrs = append(attrs, slog.String("type", d.receipt.Type), slog.String("host", d.host))
	}
	s.cfg.Logger.LogAttrs(ctx, level, message, append(attrs, more...)...)
}
