// Package local is the embedded relay of a data directory: a relay.Relay over
// SQLite, with its master keys and its own API key. It is made on first use, and all
// processes with the same directory share it.
//
// The directory is 0700 and holds these files, each 0600:
//
//	keyring.json  the master keys (atrest.Keyring), and a .lock file once they were changed
//	kubbi.db      the SQLite store, with -wal, -shm, lock and slots files and the folder kubbi.bodies
//	api-key       the API key that RoundTripper adds to producer requests
//
// A lost keyring or store is never replaced by a new one. Open then fails with an error
// that says what to do.
//
// One process listens at the address of the claim URLs; when it ends, another process takes
// the address over (listen.go). The relays of several data directories on one machine forward
// requests to each other (neighbours.go and identity.go).
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
)

// Owner is the owner of every kubbi that is created with the directory's own API key. It
// stays the same if the key is lost and another one is made.
const Owner = "local"

// Config configures a local relay. Dir and Origin are required; the fields without
// comments are those of relay.Config.
type Config struct {
	Dir    string // made if it does not exist
	Origin string // http on a loopback address with a port, as http://127.0.0.1:7117

	// TrustAddress allows to forward requests for claim URLs of other relays to any relay
	// that listens at Origin.
	TrustAddress bool

	Limits api.Limits
	Grace  time.Duration
	Now    func() time.Time
	Rand   io.Reader
	Logger *slog.Logger
}

// ErrClosed is the error of a call after Close.
var ErrClosed = errors.New("local relay is closed")

// Relay is the relay of a data directory. It opens the directory on first use,
// and may be used by many goroutines.
type Relay struct {
	cfg     Config
	origin  origin.Origin
	addr    string // host:port of Origin
	handler http.Handler
	life    context.Context // ends with Close
	end     context.CancelFunc

	searching   chan struct{} // bounds the searches for a neighbour
	unreachable atomic.Bool   // by curl and browsers: see Reach
	settled     chan struct{} // see Settled
	settle      func()

	opening chan struct{} // holds a token while nobody opens or closes
	mu      sync.Mutex    // guards the fields below
	open    *dataDir      // nil: not yet, or closed
	closed  bool
	calls   sync.WaitGroup // requests that are being served
}

// New makes a relay. A fault in cfg is an error. The disk is not touched.
func New(cfg Config) (*Relay, error) {
	if cfg.Dir == "" {
		return nil, errors.New("local relay needs a data directory")
	}
	o, err := origin.Parse(cfg.Origin)
	switch {
	case err != nil:
		return nil, fmt.Errorf("origin %q of the local relay is not of the form http://127.0.0.1:7117: it %w", cfg.Origin, err)
	case o.Scheme() != "http":
		return nil, fmt.Errorf("origin %q of the local relay is not of the form http://127.0.0.1:7117", cfg.Origin)
	case !o.Loopback():
		return nil, fmt.Errorf("origin %q of the local relay is not a loopback address; to serve others, run a team relay instead", cfg.Origin)
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
	r := &Relay{cfg: cfg, origin: o, addr: o.Address(), opening: make(chan struct{}, 1), searching: make(chan struct{}, maxSearches), settled: make(chan struct{})}
	r.settle = sync.OnceFunc(func() { close(r.settled) })
	r.life, r.end = context.WithCancel(context.Background())
	r.opening <- struct{}{}
	r.handler = onlyLoopback(http.HandlerFunc(r.serve))
	return r, nil
}

// Open opens or makes the directory, its keyring, store and API key. The first use does that
// too, so Open is only for a caller that wants to see an error early. After a success it does
// nothing; after a failure the next call tries again.
func (r *Relay) Open(ctx context.Context) error {
	_, err := r.opened(ctx)
	return err
}

func (r *Relay) opened(ctx context.Context) (*dataDir, error) {
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
	o, err := r.openDir(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = o
	return o, nil
}

func (r *Relay) current() (*dataDir, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	return r.open, nil
}

// APIKey returns the directory's own API key. It opens the directory if necessary.
func (r *Relay) APIKey(ctx context.Context) (string, error) {
	o, err := r.opened(ctx)
	if err != nil {
		return "", err
	}
	return o.apiKey, nil
}

// CallerKey returns the API key of a named caller, for several callers who share the
// directory. Each caller is an owner: it sees only its own kubbis, and keeps them even if the
// directory's own key is lost.
func (r *Relay) CallerKey(ctx context.Context, name string) (string, error) {
	o, err := r.opened(ctx)
	if err != nil {
		return "", err
	}
	return o.callerKey(ctx, name, r.cfg.Now())
}

// Sweep sweeps the store now.
func (r *Relay) Sweep(ctx context.Context) error {
	o, err := r.opened(ctx)
	if err != nil {
		return err
	}
	_, err = o.relay.Sweep(ctx)
	return err
}

// Handler serves the relay and opens it on first use. It answers only requests whose Host is
// a loopback name. This prevents DNS rebinding: a web page can't reach the relay through a
// DNS name that points to this machine.
func (r *Relay) Handler() http.Handler { return r.handler }

func (r *Relay) serve(w http.ResponseWriter, req *http.Request) {
	if !r.begin() {
		relay.AnswerError(w, req, api.CodeUnavailable, "the relay is closing")
		return
	}
	defer r.calls.Done()
	ctx, cancel := r.joined(req.Context())
	defer cancel()
	o, err := r.opened(ctx)
	if err != nil {
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "open local relay", slog.Any("err", err))
		relay.AnswerError(w, req, api.CodeUnavailable, "the relay can't open its store; its log says why")
		return
	}
	r.serveFrom(o, w, req.WithContext(ctx))
}

// serveFrom answers a request from the open directory, or forwards it to another relay.
func (r *Relay) serveFrom(o *dataDir, w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == api.PathHealth && o.self.introduce(w.Header(), req) {
		w.WriteHeader(http.StatusNoContent) // the answer to a challenge says nothing about the store
		return
	}
	if o.relay.FromOtherSite(req) || !r.forward(w, req, o.self) {
		o.relay.ServeHTTP(w, req)
	}
}

// stopWaits answers the requests that wait for a change: see relay.StopWaits.
func (r *Relay) stopWaits() (resume func()) {
	o, err := r.current()
	if o == nil || err != nil {
		return func() {}
	}
	return o.relay.StopWaits()
}

// begin counts a request that starts. It returns false if the relay is closed.
func (r *Relay) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.calls.Add(1)
	return true
}

// joined makes a context that ends with ctx or with Close.
func (r *Relay) joined(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.life, cancel)
	return ctx, func() { stop(); cancel() }
}

func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o, err := origin.New("http", r.Host); err != nil || !o.Loopback() {
			relay.WriteError(w, api.CodeNotFound, "this relay answers only at a loopback address")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Close cancels the requests that are being served, waits for them, stops sweeping,
// and closes the store. Later calls fail with ErrClosed; a second Close is no error.
// End Serve first.
func (r *Relay) Close() error {
	r.end() // also ends an Open that is running
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
