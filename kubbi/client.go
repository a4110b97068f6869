package kubbi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"kubbi-mcp/internal/origin"
)

const (
	smallAnswerLimit = 4 << 20 // bytes of every answer except that to a claim
	errorAnswerLimit = 64 << 10
	backoffBase      = time.Second // as in the Python SDK
	maxReleases      = 64          // in the background at once
)

// Client calls the Kubbi API. It is safe for concurrent use. Make one and keep it, since
// it holds the connections. Close it when done.
type Client struct {
	config
	apiKey    string
	base      origin.Origin
	allowed   allowedOrigins
	traced    []origin.Origin // receive the trace of a call
	inProcess origin.Origin   // see WithInProcessOrigin; zero: none
	service   *service        // at base
	backoff   time.Duration
	plain     http.RoundTripper
	guarded   http.RoundTripper   // for origins that only AnyOrigin allows; nil without it
	own       []*http.Transport   // to close
	releases  *semaphore.Weighted // graces that are being ended in the background
}

var errAPIKey = errors.New("kubbi: the API key holds a space, a control character or a character outside ASCII")

// NewClient makes a client. apiKey may be empty for a client that only inspects and claims.
// Its producer calls are sent without a key, unless a middleware adds one.
func NewClient(apiKey string, opts ...Option) (*Client, error) {
	cfg := config{
		baseURL:     DefaultBaseURL,
		retries:     DefaultRetries,
		timeout:     DefaultTimeout,
		memoryLimit: DefaultMemoryLimit,
		fileLimit:   DefaultFileLimit,
		userAgent:   "kubbi-mcp",
		log:         slog.New(slog.DiscardHandler),
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
	c := &Client{
		config:   cfg,
		apiKey:   apiKey,
		service:  new(service),
		backoff:  backoffBase,
		releases: semaphore.NewWeighted(maxReleases),
	}
	var err error
	parse := func(what, text string) (o origin.Origin) {
		if err == nil {
			if o, err = origin.Parse(text); err != nil {
				err = fmt.Errorf("kubbi: %s %w", what, err)
			}
		}
		return o
	}
	c.base = parse("base URL", c.baseURL)
	c.traced = []origin.Origin{c.base}
	for _, text := range c.traceOrigins {
		c.traced = append(c.traced, parse("trace origin", text))
	}
	if c.inProcessOrigin != "" {
		c.inProcess = parse("in-process origin", c.inProcessOrigin)
	}
	for _, text := range append([]string{c.baseURL, DefaultBaseURL}, c.allowedOrigins...) {
		if strings.TrimSpace(text) == AnyOrigin {
			c.allowed.any = true
		} else if o := parse("allowed origin", text); !slices.Contains(c.allowed.named, o) {
			c.allowed.named = append(c.allowed.named, o)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := c.setTransports(); err != nil {
		return nil, err
	}
	return c, nil
}

// setTransports makes the transports, or uses the one of WithTransport.
func (c *Client) setTransports() error {
	wrap := func(rt http.RoundTripper) http.RoundTripper {
		rt = quietTransport{rt}
		for _, m := range c.middleware {
			rt = m(rt)
		}
		return rt
	}
	if c.transport != nil {
		if c.allowed.any {
			return errors.New(`kubbi: allowing any origin ("*") needs the client's own transport, which checks addresses: use WithMiddleware instead of WithTransport`)
		}
		c.plain = wrap(c.transport)
		return nil
	}
	t := newTransport()
	c.own, c.plain = append(c.own, t), wrap(t)
	if c.allowed.any {
		t := newGuardedTransport()
		c.own, c.guarded = append(c.own, t), wrap(t)
	}
	return nil
}

// WithAPIKey makes a client with another API key that shares the connections of this one.
// It is for a program that acts for several producers. Close it before this one.
func (c *Client) WithAPIKey(apiKey string) (*Client, error) {
	if !headerSafe(apiKey) {
		return nil, errAPIKey
	}
	other := c.sharing()
	other.apiKey = apiKey
	return other, nil
}

// WithoutIdentities makes a client like this one, but without the identities. It is for callers
// who must not open what is sealed for the program that acts for them. Close it before this
// one.
func (c *Client) WithoutIdentities() *Client {
	other := c.sharing()
	other.identities = nil
	return other
}

// sharing makes a client like this one that shares its connections.
func (c *Client) sharing() *Client {
	other := *c
	other.own, other.releases = nil, semaphore.NewWeighted(maxReleases)
	return &other
}

// Close waits for requests in the background, at most a few seconds, and closes the idle
// connections. Calls after Close work, but make another Close necessary.
func (c *Client) Close() error {
	_ = c.releases.Acquire(context.Background(), maxReleases) // each release has its own timeout
	c.releases.Release(maxReleases)
	for _, t := range c.own {
		t.CloseIdleConnections()
	}
	return nil
}

// background runs f in a goroutine that Close waits for. It reports false, and does
// nothing, if too many run already.
func (c *Client) background(f func()) bool {
	if !c.releases.TryAcquire(1) {
		return false
	}
	go func() {
		defer c.releases.Release(1)
		f()
	}()
	return true
}

func headerSafe(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}
