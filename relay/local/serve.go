package local

import (
	"context"
	"errors"
	"fmt"
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
	warned := false
	for {
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", r.addr)
		if err == nil {
			r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "relay listens", slog.String("addr", r.addr))
			err = r.serveOn(ctx, ln)
		} else if ctx.Err() == nil && !warned {
			warned = r.warn(ctx, err)
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

// warn tells the user, if there is reason to, that others hold the address.
// It says whether that is settled.
func (r *Relay) warn(ctx context.Context, listenErr error) bool {
	ours, err := r.probe(ctx)
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil && !errors.Is(listenErr, errAddrInUse):
		r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "relay can't listen; claim URLs work only in this machine's kubbi-mcp processes",
			slog.String("addr", r.addr), slog.Any("err", listenErr))
		return true
	case ours:
		return false // it may go, and a stranger come
	}
	r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn,
		"the relay's address is held by another program; claim URLs work only in kubbi-mcp processes that share this data directory",
		slog.String("addr", r.addr))
	return true
}

// probe asks the holder of the address whether it serves the same directory.
func (r *Relay) probe(ctx context.Context) (ours bool, err error) {
	o, err := r.opened(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.cfg.Origin+api.PathHealth, nil)
	if err != nil {
		return false, fmt.Errorf("probe %s: %w", r.addr, err)
	}
	// A transport of its own: no proxy stands before a loopback address, and
	// no connection is kept to a stranger.
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, fmt.Errorf("probe %s: %w", r.addr, err)
	}
	return resp.Header.Get(headerID) == o.id, resp.Body.Close()
}
