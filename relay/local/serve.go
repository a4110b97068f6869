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
	retryListen  = time.Second     // between two attempts to get a taken address
	shutdownTime = 3 * time.Second // for requests to end by themselves when Serve ends
)

// Serve serves the relay over HTTP at its Origin until ctx ends, and returns
// nil. If the address is taken, as it is by the first process that was given
// the directory, it waits for it to become free. While another directory's relay
// or a stranger has it, it serves at a spare port, where the relays of the machine
// find each other. It warns once of a stranger, or when it may not listen at all.
func (r *Relay) Serve(ctx context.Context) error {
	w := watch{relay: r}
	s := spare{relay: r}
	defer s.stop()
	for {
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", r.addr)
		if err == nil {
			w.reset()
			s.stop()
			r.alone.Store(false)
			r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "relay listens", slog.String("addr", r.addr))
			err = r.serveOn(ctx, ln)
		} else if ctx.Err() == nil {
			if w.taken(ctx, err) == ours {
				s.stop()
			} else {
				s.start(ctx)
			}
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

// Reach says, in some words, from where the claim URLs of the relay can be used.
func (r *Relay) Reach() string {
	if r.alone.Load() {
		return "kubbi-mcp on this machine, but not curl or browsers"
	}
	return "this machine"
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
	// Out of the way first, so that another process can take over.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	err := srv.Shutdown(late)
	if err != nil {
		err = srv.Close()
	}
	<-failed
	return err
}
