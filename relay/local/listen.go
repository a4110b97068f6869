package local

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

const (
	retryListen  = time.Second      // between two attempts to get an address that is taken
	retryProbe   = 30 * time.Second // between two probes of another program
	shutdownTime = 3 * time.Second  // for requests to end when Serve ends
)

// Serve serves the relay over HTTP at its Origin until ctx ends, and returns nil. The first
// process of a directory gets the address; the others wait until it is free. While another
// directory's relay or another program has the address, Serve listens at a spare port, where
// the relays of the machine find each other. It logs a warning once if another program has
// the address, or if it is not allowed to listen.
func (r *Relay) Serve(ctx context.Context) error {
	watch := addressWatch{relay: r}
	spare := spareListener{relay: r}
	defer spare.stop()
	for {
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", r.addr)
		if err == nil {
			watch.reset()
			spare.stop()
			r.unreachable.Store(false)
			r.settle()
			r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "relay listens", slog.String("addr", r.addr))
			err = r.serveOn(ctx, ln)
		} else if ctx.Err() == nil {
			if watch.failed(ctx, err) == ownProcess {
				spare.stop()
			} else {
				spare.start(ctx)
			}
			r.settle()
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			r.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "relay does not listen", slog.Any("err", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryListen*3/4 + rand.N(retryListen/2)):
		}
	}
}

// Settled is closed when Serve has first tried to get its address. From then on URLs of the
// relay work, and Reach is right.
func (r *Relay) Settled() <-chan struct{} { return r.settled }

// Reach describes, for people, where the claim URLs of the relay can be used.
func (r *Relay) Reach() string {
	if r.unreachable.Load() {
		return "kubbi-mcp on this machine, but not curl or browsers"
	}
	return "this machine"
}

// AtAddress says who listens at the address of claim URLs: "nobody", "this data directory",
// "another data directory", "another relay" or "another program". It opens the data directory.
func (r *Relay) AtAddress(ctx context.Context) (string, error) {
	o, err := r.opened(ctx)
	if err != nil {
		return "", err
	}
	return string(listenerAt(ctx, r.addr, o.self)), nil
}

// serveOn serves a listener until ctx ends or the listener fails.
func (r *Relay) serveOn(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           r.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       5 * time.Minute, // a large package from a slow machine
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(r.cfg.Logger.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return errors.Join(err, srv.Close())
	case <-ctx.Done():
	}
	// Otherwise Shutdown would wait for the requests that wait.
	defer r.stopWaits()()
	// Shutdown first closes the listener, so that another process can take over.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	err := srv.Shutdown(late)
	if err != nil {
		err = srv.Close()
	}
	<-failed
	return err
}

// listener says which kind of program listens at an address.
type listener string

// The listeners, as AtAddress writes them.
const (
	nobody         listener = "nobody"
	ownProcess     listener = "this data directory"
	otherDirectory listener = "another data directory"
	otherRelay     listener = "another relay" // a program that says it is a relay
	otherProgram   listener = "another program"
)

// listenerAt probes which kind of program listens at an address.
func listenerAt(ctx context.Context, addr string, self identity) listener {
	n, err := probe(ctx, addr)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return nobody // or a sandbox allows no connections
		}
		return otherProgram
	}
	defer n.close()
	switch {
	case n.public == self.public:
		return ownProcess
	case n.public != "":
		return otherDirectory
	case n.api:
		return otherRelay
	}
	return otherProgram
}

// addressWatch finds out which program has the address that this process can't get, and logs
// it once.
type addressWatch struct {
	relay    *Relay
	warned   bool // a warning was logged
	reported bool // another directory's relay was logged
	misses   int  // probes in a row that found no local relay
	next     time.Time
	last     listener
}

func (w *addressWatch) reset() { w.misses, w.next = 0, time.Time{} }

// failed finds the reason why this process can't listen.
func (w *addressWatch) failed(ctx context.Context, listenErr error) listener {
	if time.Now().Before(w.next) {
		return w.last
	}
	w.last = w.probe(ctx, listenErr)
	w.relay.unreachable.Store(w.last == otherProgram || w.last == nobody)
	return w.last
}

func (w *addressWatch) probe(ctx context.Context, listenErr error) listener {
	r := w.relay
	warn := func(message string, attrs ...slog.Attr) {
		if !w.warned {
			w.warned = true
			r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, message, append(attrs, slog.String("addr", r.addr))...)
		}
	}
	o, err := r.opened(ctx)
	if err != nil {
		if ctx.Err() == nil {
			warn("the relay can't open its data directory", slog.Any("err", err))
		}
		return ownProcess // there is nothing to serve
	}
	found := listenerAt(ctx, r.addr, o.self)
	switch {
	case ctx.Err() != nil:
		return ownProcess
	case found == ownProcess, found == otherDirectory:
		w.reset() // it may end, and another program may take the address
		if found == otherDirectory && !w.reported {
			w.reported = true
			r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "the relay of another data directory has the address, and passes on what is for this one", slog.String("addr", r.addr))
		}
		return found
	}
	// One probe is not enough: a process of this directory may be ending.
	if w.misses++; w.misses == 1 {
		return ownProcess
	}
	w.next = time.Now().Add(retryProbe)
	if found == nobody {
		warn("the relay can't listen at its address; curl and browsers don't reach its claim URLs", slog.Any("err", listenErr))
		return nobody
	}
	warn("the relay's address is held by another program: curl and browsers don't reach its claim URLs, only the kubbi-mcp processes of this machine do; give another address with --relay-url (KUBBI_RELAY_URL)")
	return otherProgram
}

// spareListener serves a relay at one of the spare ports.
type spareListener struct {
	relay *Relay
	end   context.CancelFunc // nil: it does not listen
	done  chan struct{}
	next  time.Time // no attempt before this time, since all ports were taken
}

// start serves at a spare port, unless this process or another process of the same
// directory already does.
func (s *spareListener) start(ctx context.Context) {
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
		if listenerAt(ctx, addr, o.self) == ownProcess {
			return
		}
	}
	s.next = time.Now().Add(retryProbe)
	s.relay.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "all spare ports are taken: other relays of this machine don't find this one")
}

func (s *spareListener) serve(ctx context.Context, ln net.Listener) {
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

// stop stops listening and waits for the end.
func (s *spareListener) stop() {
	if s.end != nil {
		s.end()
		<-s.done
		s.end = nil
	}
}
