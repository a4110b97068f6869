package local

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"kubbi-mcp/kubbi/api"
)

// headerID is on every answer to /health: which directory's relay answers.
const headerID = "Kubbi-Relay"

const (
	retryListen  = time.Second     // between two attempts to get a taken address
	probeTimeout = 2 * time.Second // for the holder of the address to say who it is
	shutdownTime = 3 * time.Second // for requests to end by themselves when Serve ends
)

// Serve serves the relay over HTTP at its Origin until ctx ends, and returns
// nil. If the address is taken, as it is by the first process that was given
// the directory, it waits for it to become free. It warns once when the holder
// is not a relay of the same directory, or when it may not listen at all.
func (r *Relay) Serve(ctx context.Context) error {
	var watch watch
	for {
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", r.addr)
		if err == nil {
			watch.reset()
			r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "relay listens", slog.String("addr", r.addr))
			err = r.serveOn(ctx, ln)
		} else if ctx.Err() == nil {
			watch.taken(ctx, r, err)
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

// watch decides when to tell the user that the address can't be had.
type watch struct {
	warned    bool // once is enough
	strangers int  // probes in a row that found a stranger
}

func (w *watch) reset() { w.strangers = 0 }

// taken looks into a failure to listen. One probe alone proves no stranger:
// the holder may be a process of ours that is just going.
func (w *watch) taken(ctx context.Context, r *Relay, listenErr error) {
	if w.warned {
		return
	}
	warn := func(message string, attrs ...slog.Attr) {
		w.warned = true
		r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, message, append(attrs, slog.String("addr", r.addr))...)
	}
	if !errors.Is(listenErr, errAddrInUse) {
		warn("the relay can't listen; claim URLs work only in kubbi-mcp processes that share its data directory", slog.Any("err", listenErr))
		return
	}
	o, err := r.opened(ctx)
	if err != nil {
		if ctx.Err() == nil {
			warn("the relay can't open its data directory", slog.Any("err", err))
		}
		return
	}
	if ours := r.probe(ctx, o.id); ours || ctx.Err() != nil {
		w.reset() // it may go, and a stranger come
		return
	}
	if w.strangers++; w.strangers > 1 {
		warn("the relay's address is held by another program; claim URLs work only in kubbi-mcp processes that share its data directory")
	}
}

// probe asks the holder of the address whether its relay has that id.
func (r *Relay) probe(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.cfg.Origin+api.PathHealth, nil)
	if err != nil {
		return false
	}
	// A transport of its own: no proxy stands before a loopback address, and
	// no connection is kept to a stranger.
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // of no interest
	return resp.Header.Get(headerID) == id
}
