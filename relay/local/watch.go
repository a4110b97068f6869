package local

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"
)

// holder is who has an address.
type holder int

const (
	nobody   holder = iota
	ours            // a process with the same data directory
	another         // the relay of another data directory
	stranger        // another program
	service         // another program that says it is a relay of some kind
)

// holderOf asks who has an address.
func (r *Relay) holderOf(ctx context.Context, addr string, self identity) holder {
	n, err := meet(ctx, addr)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return nobody // or a sandbox lets nobody be reached
		}
		return stranger
	}
	defer n.close()
	switch n.public {
	case self.public:
		return ours
	case "":
		if n.api {
			return service
		}
		return stranger
	}
	return another
}

// strangerEvery is how often a stranger is asked who it is.
const strangerEvery = 30 * time.Second

// watch finds out who has the address that can't be had, and decides when to tell
// the user.
type watch struct {
	relay     *Relay
	warned    bool // once is enough
	told      bool // of another relay
	strangers int  // probes in a row that found a stranger
	next      time.Time
	last      holder
}

func (w *watch) reset() { w.strangers, w.next = 0, time.Time{} }

// taken looks into a failure to listen. One probe alone proves no stranger:
// the holder may be a process of ours that is just going.
func (w *watch) taken(ctx context.Context, listenErr error) holder {
	if time.Now().Before(w.next) {
		return w.last
	}
	w.last = w.look(ctx, listenErr)
	w.relay.alone.Store(w.last == stranger || w.last == nobody)
	return w.last
}

func (w *watch) look(ctx context.Context, listenErr error) holder {
	r := w.relay
	warn := func(message string, attrs ...slog.Attr) {
		if !w.warned {
			w.warned = true
			r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, message, append(attrs, slog.String("addr", r.addr))...)
		}
	}
	if !errors.Is(listenErr, errAddrInUse) {
		warn("the relay can't listen at its address; curl and browsers don't reach its claim URLs", slog.Any("err", listenErr))
		return nobody
	}
	o, err := r.opened(ctx)
	if err != nil {
		if ctx.Err() == nil {
			warn("the relay can't open its data directory", slog.Any("err", err))
		}
		return ours // there is nothing to serve
	}
	switch h := r.holderOf(ctx, r.addr, o.self); {
	case ctx.Err() != nil:
	case h == ours:
		w.reset() // it may go, and a stranger come
		return ours
	case h == another:
		w.reset()
		if !w.told {
			w.told = true
			r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "the relay of another data directory has the address, and passes on what is for this one", slog.String("addr", r.addr))
		}
		return another
	case h == stranger, h == service:
		if w.strangers++; w.strangers > 1 {
			w.next = time.Now().Add(strangerEvery)
			warn("the relay's address is held by another program: curl and browsers don't reach its claim URLs, only the kubbi-mcp processes of this machine do; give another address with --relay-url (KUBBI_RELAY_URL)")
			return stranger
		}
	}
	return ours // for the time being
}

// spare serves a relay at one of the spare ports.
type spare struct {
	relay *Relay
	end   context.CancelFunc // nil: it does not
	done  chan struct{}
	next  time.Time // not to be tried before, since all ports are taken
}

// start serves at a spare port, unless it does already, or a process of the same
// directory does.
func (s *spare) start(ctx context.Context) {
	if s.end != nil {
		select {
		case <-s.done: // the listener has failed
			s.stop()
		default:
			return
		}
	}
	o, err := s.relay.opened(ctx)
	if err != nil || time.Now().Before(s.next) {
		return
	}
	for _, addr := range addresses(s.relay.addr)[1:] {
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err == nil {
			s.serve(ctx, ln)
			return
		}
		if s.relay.holderOf(ctx, addr, o.self) == ours {
			return
		}
	}
	s.next = time.Now().Add(strangerEvery)
	s.relay.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "all spare ports are taken: other relays of this machine don't find this one")
}

func (s *spare) serve(ctx context.Context, ln net.Listener) {
	s.relay.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "relay listens for other relays of this machine", slog.String("addr", ln.Addr().String()))
	ctx, s.end = context.WithCancel(ctx)
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		if err := s.relay.serveOn(ctx, ln); err != nil {
			s.relay.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "relay does not listen", slog.Any("err", err))
		}
	}()
}

// stop ends that, and waits for its end.
func (s *spare) stop() {
	if s.end != nil {
		s.end()
		<-s.done
		s.end = nil
	}
}
