package kubbi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"kubbi-mcp/internal/origin"
)

// DefaultBaseURL is the hosted service.
const DefaultBaseURL = "https://api.kubbi.ai"

// Defaults of the options, as in the Python SDK.
const (
	DefaultRetries = 2
	DefaultTimeout = 30 * time.Second
)

// DefaultMemoryLimit is how many bytes a claim's answer may have, if it is to
// stand in memory.
const DefaultMemoryLimit = 96 << 20

// DefaultFileLimit is that of a claim whose answer goes to a file: as much as
// the largest package can be asked to be sent in.
const DefaultFileLimit = 512<<20 + 4<<20

const (
	smallAnswerLimit = 4 << 20 // every answer but a claim's
	errorAnswerLimit = 64 << 10
	backoffBase      = time.Second // as in the Python SDK
	maxReleases      = 64          // in the background at once
)

// Client calls the Kubbi API. It is safe for concurrent use; make one and keep
// it, for it holds the connections. Close it when done.
type Client struct {
	apiKey      string
	base        origin.Origin
	allowed     allowedOrigins
	retries     int
	timeout     time.Duration
	backoff     time.Duration
	memoryLimit int64
	fileLimit   int64
	userAgent   string
	log         *slog.Logger
	traced      []origin.Origin // that are told the trace of a call
	plain       http.RoundTripper
	guarded     http.RoundTripper // for origins that only "*" allows; nil without it
	own         []*http.Transport // to close
	releases    *releases
	service     *service      // at base
	inProcess   origin.Origin // whose error texts are this program's own; zero: none
}

// releases are the graces that are being ended in the background.
type releases struct {
	mu   sync.Mutex
	none *sync.Cond
	n    int
}

func newReleases() *releases {
	r := &releases{}
	r.none = sync.NewCond(&r.mu)
	return r
}

type config struct {
	baseURL     string
	transport   http.RoundTripper
	middleware  []func(http.RoundTripper) http.RoundTripper
	retries     int
	timeout     time.Duration
	memoryLimit int64
	fileLimit   int64
	userAgent   string
	logger      *slog.Logger
	allowed     []string
	traced      []string
	inProcess   string
}

// Option changes what NewClient makes.
type Option func(*config)

// WithBaseURL sets where producer calls and bare tokens go: an origin, as
// "https://api.kubbi.ai" or "http://127.0.0.1:7117". The default is
// DefaultBaseURL.
func WithBaseURL(origin string) Option { return func(c *config) { c.baseURL = origin } }

// WithHTTPClient uses the transport of hc, and its timeout if it has one.
// Nothing else of it: the client follows redirects by its own rules, and keeps
// no cookies. See WithTransport.
func WithHTTPClient(hc *http.Client) Option {
	return func(c *config) {
		c.transport = hc.Transport
		if hc.Timeout > 0 {
			c.timeout = hc.Timeout
		}
	}
}

// WithTransport replaces the client's own transport. The check of addresses
// that allowing any origin needs is then not there, so the two don't go
// together; WithMiddleware keeps it.
func WithTransport(rt http.RoundTripper) Option { return func(c *config) { c.transport = rt } }

// WithMiddleware puts a round tripper around the client's transport, which
// stays beneath it with its checks. Where several origins' rules differ it is
// called once for each; of several options a later one wraps the earlier.
func WithMiddleware(wrap func(next http.RoundTripper) http.RoundTripper) Option {
	return func(c *config) { c.middleware = append(c.middleware, wrap) }
}

// WithRetries sets how often a call is tried again, 0 for never. The default
// is DefaultRetries.
func WithRetries(n int) Option { return func(c *config) { c.retries = n } }

// WithTimeout sets how long one attempt may stand still: it fails when d passes
// before the answer is there and fewer than another MiB have been sent or
// received. The default is DefaultTimeout. The whole call, with its retries, is
// bounded by its context.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithLogger sets where requests are logged, at debug level: method, the
// path's shape, host, status, duration, attempt. Nothing is logged by default.
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// WithUserAgent sets the User-Agent header, by convention name/version.
func WithUserAgent(s string) Option { return func(c *config) { c.userAgent = s } }

// WithMemoryLimit sets how many bytes a claim's answer may have that stands in
// memory: that of Claim, and every one in JSON. The default is DefaultMemoryLimit.
func WithMemoryLimit(bytes int64) Option { return func(c *config) { c.memoryLimit = bytes } }

// WithFileLimit sets how many bytes the answer of ClaimSpooled, ClaimTo and
// ClaimWithin may have where it goes to a file. The default is DefaultFileLimit.
func WithFileLimit(bytes int64) Option { return func(c *config) { c.fileLimit = bytes } }

// WithAllowedOrigins adds origins that claim URLs may point to, beside the
// base URL's and https://api.kubbi.ai. AnyOrigin, "*", allows every https
// origin with a public address.
func WithAllowedOrigins(origins ...string) Option {
	return func(c *config) { c.allowed = append(c.allowed, origins...) }
}

// WithInProcessOrigin names the origin that a middleware answers within this
// process. What it says in an error is the program's own words: Error.Theirs is
// false. No other origin has such words.
func WithInProcessOrigin(origin string) Option { return func(c *config) { c.inProcess = origin } }

var errAPIKey = errors.New("kubbi: the API key holds a space, a control character or a character outside ASCII")

// NewClient makes a client. Without an API key, "", it can inspect and claim;
// producer calls are then sent without one, and it is up to the server (or to
// a round tripper that adds one) what comes of it.
func NewClient(apiKey string, opts ...Option) (*Client, error) {
	cfg := config{
		baseURL:     DefaultBaseURL,
		retries:     DefaultRetries,
		timeout:     DefaultTimeout,
		memoryLimit: DefaultMemoryLimit,
		fileLimit:   DefaultFileLimit,
		userAgent:   "kubbi-mcp",
	}
	for _, opt := range opts {
		opt(&cfg)
	}
	if cfg.retries < 0 || cfg.timeout <= 0 || cfg.memoryLimit <= 0 || cfg.fileLimit <= 0 {
		return nil, errors.New("kubbi: retries must not be negative, timeout and the limits of answers must be above 0")
	}
	if !headerSafe(apiKey) {
		return nil, errAPIKey
	}
	if cfg.logger == nil {
		cfg.logger = slog.New(slog.DiscardHandler)
	}
	base, err := origin.Parse(cfg.baseURL)
	if err != nil {
		return nil, fmt.Errorf("kubbi: base URL %w", err)
	}
	c := &Client{
		apiKey:      apiKey,
		base:        base,
		retries:     cfg.retries,
		timeout:     cfg.timeout,
		backoff:     backoffBase,
		memoryLimit: cfg.memoryLimit,
		fileLimit:   cfg.fileLimit,
		userAgent:   cfg.userAgent,
		log:         cfg.logger,
		releases:    newReleases(),
		service:     new(service),
	}
	c.traced = []origin.Origin{base}
	for _, text := range cfg.traced {
		o, err := origin.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("kubbi: trace origin %w", err)
		}
		c.traced = append(c.traced, o)
	}
	if cfg.inProcess != "" {
		if c.inProcess, err = origin.Parse(cfg.inProcess); err != nil {
			return nil, fmt.Errorf("kubbi: in-process origin %w", err)
		}
	}
	for _, o := range append([]string{base.String(), DefaultBaseURL}, cfg.allowed...) {
		if err := c.allowed.add(o); err != nil {
			return nil, fmt.Errorf("kubbi: allowed origin %w", err)
		}
	}
	if c.allowed.any && cfg.transport != nil {
		return nil, errors.New(`kubbi: allowing any origin ("*") needs the client's own transport, which checks addresses: use WithMiddleware instead of WithTransport or WithHTTPClient`)
	}
	wrap := func(rt http.RoundTripper) http.RoundTripper {
		rt = quietTransport{rt}
		for _, m := range cfg.middleware {
			rt = m(rt)
		}
		return rt
	}
	if cfg.transport != nil {
		c.plain = wrap(cfg.transport)
		return c, nil
	}
	t := newTransport()
	c.own = append(c.own, t)
	c.plain = wrap(t)
	if c.allowed.any {
		g := newGuardedTransport()
		c.own = append(c.own, g)
		c.guarded = wrap(g)
	}
	return c, nil
}

// WithAPIKey gives a client that differs in its API key alone, and shares this
// one's connections: for a program that acts for many. Close it before this one.
func (c *Client) WithAPIKey(apiKey string) (*Client, error) {
	if !headerSafe(apiKey) {
		return nil, errAPIKey
	}
	other := *c
	other.apiKey, other.own, other.releases = apiKey, nil, newReleases()
	return &other, nil
}

// Close waits for what the client still does in the background, a few seconds
// at most, and closes its idle connections. A call after it works, and makes
// another Close necessary.
func (c *Client) Close() error {
	c.releases.wait()
	for _, t := range c.own {
		t.CloseIdleConnections()
	}
	return nil
}

func (r *releases) wait() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.n > 0 {
		r.none.Wait()
	}
}

// background runs f in a goroutine that Close waits for, unless too many run
// already.
func (r *releases) background(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n >= maxReleases {
		return false
	}
	r.n++
	go func() {
		defer func() {
			r.mu.Lock()
			if r.n--; r.n == 0 {
				r.none.Broadcast()
			}
			r.mu.Unlock()
		}()
		f()
	}()
	return true
}

func headerSafe(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
