package kubbi

import (
	"log/slog"
	"net/http"
	"time"
)

// DefaultBaseURL is the hosted service.
const DefaultBaseURL = "https://api.kubbi.ai"

// Defaults of WithRetries and WithTimeout, as in the Python SDK.
const (
	DefaultRetries = 2
	DefaultTimeout = 30 * time.Second
)

// Defaults of WithMemoryLimit and WithFileLimit, in bytes. The largest package that can
// be sent fits into DefaultFileLimit.
const (
	DefaultMemoryLimit = 96 << 20
	DefaultFileLimit   = 512<<20 + 4<<20
)

type config struct {
	settings
	baseURL    string
	transport  http.RoundTripper
	middleware []func(http.RoundTripper) http.RoundTripper
	allowed    []string
	traced     []string
	inProcess  string
}

// settings are the options that a client uses as they are.
type settings struct {
	retries     int
	timeout     time.Duration
	memoryLimit int64
	fileLimit   int64
	userAgent   string
	log         *slog.Logger
}

// Option changes what NewClient makes.
type Option func(*config)

// WithBaseURL sets where producer calls and bare tokens go: an origin, such as
// "https://api.kubbi.ai" or "http://127.0.0.1:7117". The default is DefaultBaseURL.
func WithBaseURL(origin string) Option { return func(c *config) { c.baseURL = origin } }

// WithTransport replaces the client's own transport. It can't be combined with
// AnyOrigin, which needs the own transport's check of addresses; WithMiddleware can.
func WithTransport(rt http.RoundTripper) Option { return func(c *config) { c.transport = rt } }

// WithMiddleware puts a round tripper around the client's transport. It is called once
// for each transport: with AnyOrigin there are two. Of several options a later one wraps
// the earlier.
func WithMiddleware(wrap func(next http.RoundTripper) http.RoundTripper) Option {
	return func(c *config) { c.middleware = append(c.middleware, wrap) }
}

// WithRetries sets how often a call is tried again, 0 for never. The default is
// DefaultRetries.
func WithRetries(n int) Option { return func(c *config) { c.retries = n } }

// WithTimeout sets how long one attempt may stall: it fails when d passes without the
// answer and without another MiB sent or received. The default is DefaultTimeout. The
// context bounds the whole call with its retries.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithLogger sets where requests are logged, at debug level: method, the path without
// token and id, host, status, duration, attempt. By default nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l != nil {
			c.log = l
		}
	}
}

// WithUserAgent sets the User-Agent header, by convention name/version.
func WithUserAgent(s string) Option { return func(c *config) { c.userAgent = s } }

// WithMemoryLimit sets how many bytes the answer to a claim may have in memory. Every
// answer in JSON is in memory. The default is DefaultMemoryLimit.
func WithMemoryLimit(bytes int64) Option { return func(c *config) { c.memoryLimit = bytes } }

// WithFileLimit sets how many bytes the answer to a claim may have with ToFile or
// ClaimTo. The default is DefaultFileLimit.
func WithFileLimit(bytes int64) Option { return func(c *config) { c.fileLimit = bytes } }

// WithAllowedOrigins adds origins that claim URLs may point to, beside the base URL's
// and https://api.kubbi.ai. AnyOrigin, "*", allows every https origin with a public
// address.
func WithAllowedOrigins(origins ...string) Option {
	return func(c *config) { c.allowed = append(c.allowed, origins...) }
}

// WithTraceOrigins adds origins that receive the trace of a call, beside the base
// URL's. Other origins, which claim URLs of strangers name, do not receive it.
func WithTraceOrigins(origins ...string) Option {
	return func(c *config) { c.traced = append(c.traced, origins...) }
}

// WithInProcessOrigin names the origin that a middleware answers within this process.
// Its error texts are the program's own: Error.Theirs is false. The texts of all other
// origins are somebody else's.
func WithInProcessOrigin(origin string) Option { return func(c *config) { c.inProcess = origin } }
