// Package local is the embedded relay of a data directory: a relay.Relay over
// SQLite, its master keys and its own API key, made on first use and shared by
// every process that is given the same directory.
//
// The directory is 0700 and holds these files, each 0600:
//
//	keyring.json  the master keys (atrest.Keyring); its .lock file stands beside it once they were changed
//	kubbi.db      the SQLite store; its -wal, -shm, lock and slots files and the folder kubbi.bodies stand beside it
//	api-key       the API key that RoundTripper adds to producer requests
//
// Nothing that may hold or open a payload is ever made anew over what was lost:
// a store without its master key is an error that says what to do.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
)

// Owner owns every kubbi that is made with the directory's own API key, also
// after that key was lost and another one was made.
const Owner = "local"

// Config is what a local relay needs. Dir and Origin must be given; the rest is
// as in relay.Config.
type Config struct {
	Dir    string // made if it is not there
	Origin string // http on a loopback address with a port, as http://127.0.0.1:7117

	// TrustAddress says that whoever listens at Origin may be asked for what was not
	// made here, if it is a relay of any kind.
	TrustAddress bool

	Limits     api.Limits
	Grace      time.Duration
	Retention  time.Duration
	SweepEvery time.Duration
	Now        func() time.Time
	Rand       io.Reader
	Logger     *slog.Logger
}

// ErrClosed is the error of a call after Close.
var ErrClosed = errors.New("local relay is closed")

// Relay is the relay of a data directory. It opens the directory on first use,
// and may be used by many goroutines.
type Relay struct {
	cfg     Config
	addr    string // host:port of Origin
	handler http.Handler
	life    context.Context // ends with Close
	end     context.CancelFunc

	meeting chan struct{} // bounds how many look for a neighbour at once
	alone   atomic.Bool   // another program has the address: see Reach

	opening chan struct{} // holds a token while nobody opens or closes
	mu      sync.Mutex    // guards the fields below
	open    *opened       // nil: not yet, or closed
	closed  bool
	calls   sync.WaitGroup // requests that are being served
}

// New makes a relay. A fault in cfg is an error; the disk is not touched.
func New(cfg Config) (*Relay, error) {
	if cfg.Dir == "" {
		return nil, errors.New("local relay needs a data directory")
	}
	u, err := parseOrigin(cfg.Origin)
	if err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Origin = u.Scheme + "://" + u.Host
	r := &Relay{cfg: cfg, addr: u.Host, opening: make(chan struct{}, 1), meeting: make(chan struct{}, maxMeeting)}
	r.life, r.end = context.WithCancel(context.Background())
	r.opening <- struct{}{}
	r.handler = onlyLoopback(http.HandlerFunc(r.serve))
	return r, nil
}

// parseOrigin checks that an origin is http on a loopback address, and gives
// it with its host in lower case and its port spelt out.
func parseOrigin(origin string) (*url.URL, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("origin %q of the local relay is not of the form http://127.0.0.1:7117", origin)
	}
	if !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("origin %q of the local relay is not a loopback address; to serve others, run a team relay instead", origin)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	if port == "0" {
		return nil, fmt.Errorf("origin %q of the local relay must name its port", origin)
	}
	u.Host = net.JoinHostPort(strings.ToLower(u.Hostname()), port)
	return u, nil
}

// isLoopback says whether a host name means this machine, whatever a DNS
// server says.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// Open makes or opens the directory, its keyring, store and API key. It is
// needed only to learn early of an error: first use opens too. Calls after the
// first that succeeded do nothing; after one that failed, the next tries again.
func (r *Relay) Open(ctx context.Context) error {
	_, err := r.opened(ctx)
	return err
}

func (r *Relay) opened(ctx context.Context) (*opened, error) {
	if o, err := r.current(); o != nil || err != nil {
		return o, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-r.opening:
	}
	defer func() { r.opening <- struct{}{} }()
	if o, err := r.current(); o != nil || err != nil {
		return o, err
	}
	ctx, cancel := r.joined(ctx)
	defer cancel()
	o, err := openDir(ctx, r.cfg)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = o
	return o, nil
}

func (r *Relay) current() (*opened, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	return r.open, nil
}

// APIKey gives the directory's own API key, opening it if need be.
func (r *Relay) APIKey(ctx context.Context) (string, error) {
	o, err := r.opened(ctx)
	if err != nil {
		return "", err
	}
	return o.apiKey, nil
}

// CallerKey gives the API key of one of several who share the directory, each
// under a name of their own, and who see nothing of each other's kubbis. The
// name keeps its kubbis even when the directory's own key is lost.
func (r *Relay) CallerKey(ctx context.Context, name string) (string, error) {
	o, err := r.opened(ctx)
	if err != nil {
		return "", err
	}
	return o.callerKey(ctx, name, r.cfg.Now())
}

// Sweep does what time has brought at once, rather than when it is due.
func (r *Relay) Sweep(ctx context.Context) error {
	o, err := r.opened(ctx)
	if err != nil {
		return err
	}
	_, err = o.relay.Sweep(ctx)
	return err
}

// Handler serves the relay, opening it on first use. It answers only requests
// whose Host is a loopback name, so that a web page can't reach it by pointing
// a DNS name of its own at this machine.
func (r *Relay) Handler() http.Handler { return r.handler }

func (r *Relay) serve(w http.ResponseWriter, req *http.Request) {
	if !r.begin() {
		relay.AnswerError(w, req, api.CodeUnavailable, "the relay is closing")
		return
	}
	defer r.calls.Done()
	ctx, cancel := r.joined(req.Context())
	defer cancel()
	req = req.WithContext(ctx)
	o, err := r.opened(ctx)
	if err != nil {
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "open local relay", slog.Any("err", err))
		relay.AnswerError(w, req, api.CodeUnavailable, "the relay can't open its store; its log says why")
		return
	}
	if req.URL.Path == api.PathHealth && o.self.introduce(w.Header(), req) {
		w.WriteHeader(http.StatusNoContent) // who asks for a proof has no interest in the store
		return
	}
	if o.relay.FromOtherSite(req) || !r.forward(w, req, o.self) {
		o.relay.ServeHTTP(w, req)
	}
}

// begin counts a request in; false means that the relay is closed.
func (r *Relay) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.calls.Add(1)
	return true
}

// joined gives a context that ends with ctx and with Close.
func (r *Relay) joined(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.life, cancel)
	return ctx, func() { stop(); cancel() }
}

func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !isLoopback(strings.Trim(host, "[]")) {
			relay.WriteError(w, api.CodeNotFound, "this relay answers only at a loopback address")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Close cancels the requests that are being served, waits for them, stops
// sweeping, and closes the store. Calls after it fail with ErrClosed; closing twice is no
// error. End Serve first.
func (r *Relay) Close() error {
	r.end() // of an Open that is under way, too
	<-r.opening
	defer func() { r.opening <- struct{}{} }()
	r.mu.Lock()
	o := r.open
	r.open, r.closed = nil, true
	r.mu.Unlock()
	r.calls.Wait()
	if o == nil {
		return nil
	}
	return o.close()
}
