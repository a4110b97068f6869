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

// Defaults of WithMemoryLimit and WithFileLimit, in bytes. DefaultFileLimit is large enough
// for the largest package that can be sent.
const (
	DefaultMemoryLimit = 96 << 20
	DefaultFileLimit   = 512<<20 + 4<<20
)

type config struct {
	baseURL         string
	inProcessOrigin string // "": none
	allowedOrigins  []string
	traceOrigins    []string
	transport       http.RoundTripper // nil: the client's own
	middleware      []func(http.RoundTripper) http.RoundTripper
	retries         int
	timeout         time.Duration
	memoryLimit     int64
	fileLimit       int64
	userAgent       string
	log             *slog.Logger
	identities      func() []*Identity // may be nil
}

// Option changes what NewClient makes.
type Option func(*config)

// WithBaseURL sets where producer calls and bare tokens go: an origin, such as
// "https://api.kubbi.ai" or "http://127.0.0.1:7117". The default is DefaultBaseURL.
func WithBaseURL(origin string) Option { return func(c *config) { c.baseURL = origin } }

// WithTransport replaces the client's own transport. It can't be combined with AnyOrigin,
// since only the client's own transport checks addresses. WithMiddleware can.
func WithTransport(rt http.RoundTripper) Option { return func(c *config) { c.transport = rt } }

// WithMiddleware puts a round tripper around the client's transport. It is called once
// for each transport: with AnyOrigin there are two. If the option is given several times,
// a later one wraps the earlier ones.
func WithMiddleware(wrap func(next http.RoundTripper) http.RoundTripper) Option {
	return func(c *config) { c.middleware = append(c.middleware, wrap) }
}

// WithRetries sets how often a call is tried again, 0 for never. The default is
// DefaultRetries.
func WithRetries(n int) Option { return func(c *config) { c.retries = n } }

// WithTimeout sets how long one attempt may stall. It fails if in the time d the answer
// does not arrive and not even one MiB is sent or received. The default is DefaultTimeout.
// Use the context to limit the whole call with its retries.
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
	return func(c *config) { c.allowedOrigins = append(c.allowedOrigins, origins...) }
}

// WithTraceOrigins adds origins that receive the trace of a call, beside the base URL's
// origin. No other origin receives it, since claim URLs may come from strangers.
func WithTraceOrigins(origins ...string) Option {
	return func(c *config) { c.traceOrigins = append(c.traceOrigins, origins...) }
}

// WithIdentities names the private keys that open what is sealed for their recipients. The
// client calls the function when it inspects or claims such a kubbi. It must be safe for
// concurrent use.
func WithIdentities(identities func() []*Identity) Option {
	return func(c *config) { c.identities = identities }
}

// WithInProcessOrigin names the origin that a middleware serves within this process. Its
// error texts are this program's own, so Error.Theirs is false for them. It is true for the
// texts of all other origins.
func WithInProcessOrigin(origin string) Option {
	return func(c *config) { c.inProcessOrigin = origin }
}
