package cli

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/server"
)

// httpFlags are the flags of `serve --transport http`.
type httpFlags struct {
	Addr          string        `group:"HTTP:" variable:"KUBBI_MCP_ADDR" placeholder:"HOST:PORT" default:"127.0.0.1:8118" help:"Address to listen at (${default}). Any but a loopback address needs a token."`
	AuthTokenFile string        `group:"HTTP:" variable:"KUBBI_MCP_TOKEN_FILE" placeholder:"FILE" help:"Who may call: a line for each, with a name, a token and, if it has one, a Kubbi API key. A single token may be in $$KUBBI_MCP_TOKEN instead."`
	AllowOwnKeys  bool          `group:"HTTP:" variable:"KUBBI_MCP_ALLOW_OWN_KEYS" help:"Where tokens are configured, also let in without a token whoever has any API key of the Kubbi API, sent in X-Kubbi-Api-Key."`
	TLSCert       string        `group:"HTTP:" name:"tls-cert" variable:"KUBBI_MCP_TLS_CERT" placeholder:"FILE" help:"Certificate chain, PEM; read anew when it changes."`
	TLSKey        string        `group:"HTTP:" name:"tls-key" variable:"KUBBI_MCP_TLS_KEY" placeholder:"FILE" help:"The certificate's key, PEM."`
	PublicURL     string        `group:"HTTP:" variable:"KUBBI_MCP_PUBLIC_URL" placeholder:"URL" help:"Origin under which callers know the server, where a proxy is before it."`
	AllowHost     []string      `group:"HTTP:" variable:"KUBBI_MCP_ALLOW_HOSTS" placeholder:"NAME" help:"Also answer to this host name; may be repeated."`
	CORSOrigin    []string      `group:"HTTP:" name:"cors-origin" variable:"KUBBI_MCP_CORS_ORIGINS" placeholder:"ORIGIN" help:"Let web pages of this origin call; may be repeated. None may by default."`
	MaxConns      int           `group:"HTTP:" variable:"KUBBI_MCP_MAX_CONNS" placeholder:"N" default:"0" help:"Connections open at once, half of them from one address (8192, or half of the files that the process may open, if that is less)."`
	MaxBody       int           `group:"HTTP:" variable:"KUBBI_MCP_MAX_BODY" placeholder:"BYTES" default:"75497472" help:"Largest request (${default})."`
	MaxSessions   int           `group:"HTTP:" variable:"KUBBI_MCP_MAX_SESSIONS" placeholder:"N" default:"2000" help:"Sessions open at once, of one caller (${default})."`
	MaxCalls      int           `group:"HTTP:" variable:"KUBBI_MCP_MAX_CALLS" placeholder:"N" default:"256" help:"Calls running at once, of one caller (${default}); of all callers, four times as many. Calls that wait count apart, and may be four times as many."`
	SessionIdle   time.Duration `group:"HTTP:" variable:"KUBBI_MCP_SESSION_IDLE" placeholder:"DURATION" default:"1h" help:"Drop a session that was idle for so long (${default})."`
	Drain         time.Duration `group:"HTTP:" variable:"KUBBI_MCP_DRAIN" placeholder:"DURATION" default:"15s" help:"When stopped, let running calls go on for so long (${default})."`
}

// prepare checks the flags, binds the address, and returns the function that serves there,
// so that a mistake ends the program at its start.
func (f *httpFlags) prepare(a *app, b *backend) (serve func(context.Context) error, err error) {
	if f.MaxConns < 0 || f.MaxBody < 1<<10 || f.MaxSessions < 1 || f.MaxCalls < 1 || f.SessionIdle <= 0 || f.Drain <= 0 {
		return nil, usagef("--max-conns must not be below 0; --max-body must be at least 1024; --max-sessions, --max-calls, --session-idle and --drain must be above 0")
	}
	tokens, err := a.tokens(f.AuthTokenFile)
	if err != nil {
		return nil, usage(err)
	}
	if err := f.checkAddr(len(tokens) > 0); err != nil {
		return nil, usage(err)
	}
	if len(tokens) > 0 && len(a.cfg.AllowEnv) > 0 {
		return nil, usagef("--allow-env (KUBBI_ALLOW_ENV) is for a server of one user: over HTTP it excludes tokens")
	}
	if !b.embedded {
		if err := checkKeys(tokens); err != nil {
			return nil, usage(err)
		}
	}
	serverConfig := a.serverConfig(b.dir)
	others, byName, err := a.callerFolders(serverConfig.Files, tokens)
	if err != nil {
		return nil, usagef("--allow-dir (KUBBI_ALLOW_DIRS): %w", err)
	}
	serverConfig.Files = others
	several := len(tokens) > 1 || f.AllowOwnKeys
	if several {
		serverConfig.PublicKey = nil
	}
	host, _, _ := net.SplitHostPort(f.Addr)
	local := origin.LoopbackHost(host)
	serverConfig.Received = local // callers on other machines can't read the folder
	if serverConfig.Reach = b.reach; b.embedded && !local {
		serverConfig.Reach = func() string { return "the clients of this MCP server, and its machine" }
	}
	cfg := server.HTTPConfig{
		Server:    serverConfig,
		Connect:   a.connectCaller(b, several),
		Tokens:    tokens,
		OwnKeys:   f.AllowOwnKeys,
		Files:     byName,
		PublicURL: f.PublicURL,
		Hosts:     f.AllowHost,
		Origins:   f.CORSOrigin,
		Limits: server.HTTPLimits{
			MaxConns: f.maxConns(), MaxBody: f.MaxBody, MaxSessions: f.MaxSessions, MaxCalls: f.MaxCalls, MaxTotalCalls: 4 * f.MaxCalls,
			SessionIdle: f.SessionIdle, Drain: f.Drain,
		},
		Metrics: server.NewMetrics(buildInfo().Version),
	}
	if cfg.Certificate, err = a.certificate(f.TLSCert, f.TLSKey); err != nil {
		return nil, usage(err)
	}
	srv, err := server.NewHTTP(cfg)
	if err != nil {
		return nil, usagef("--public-url, --allow-host or --cors-origin: %w", err)
	}
	l, err := listen(a.ctx, f.Addr)
	if err != nil {
		return nil, usagef("--addr (KUBBI_MCP_ADDR): %w", err)
	}
	return func(ctx context.Context) error {
		scheme := "http"
		if cfg.Certificate != nil {
			scheme = "https"
		}
		a.log.Info("serving MCP over HTTP", "url", scheme+"://"+l.Addr().String()+"/mcp", "version", buildInfo().Version,
			"embedded", b.embedded, "tokens", len(tokens))
		if scheme == "http" && !local && !strings.HasPrefix(f.PublicURL, "https:") {
			a.log.Warn("plain HTTP on the network: tokens and all content can be read on the way; use --tls-cert, or a proxy that has TLS")
		}
		defer a.log.Info("stopped")
		return srv.Serve(ctx, l)
	}, nil
}

// maxConns leaves half of the files that the process may open for other uses.
func (f *httpFlags) maxConns() int {
	if f.MaxConns > 0 {
		return f.MaxConns
	}
	return max(2, min(server.DefaultMaxConns, openFileLimit()/2))
}

// checkAddr refuses an address that others can reach, unless there are tokens.
func (f *httpFlags) checkAddr(tokens bool) error {
	host, _, err := net.SplitHostPort(f.Addr)
	if err != nil {
		return errors.New("--addr (KUBBI_MCP_ADDR) must be HOST:PORT, as 127.0.0.1:8118")
	}
	if !tokens && !origin.LoopbackHost(host) {
		return errors.New("--addr (KUBBI_MCP_ADDR) is not a loopback address, so others may reach it: give a token with --auth-token-file or KUBBI_MCP_TOKEN")
	}
	return nil
}

// listen binds an address. Its connections end about a minute after their other end has
// disappeared.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	return lc.Listen(ctx, "tcp", addr)
}

// connectCaller makes the client of a caller. Its API key is the caller's own, or, in the
// embedded relay, one that belongs to the caller's name, or this process's. This machine's key
// pair is nobody's if there are several callers: each of them could open what was sealed for
// another.
func (a *app) connectCaller(b *backend, several bool) func(context.Context, string, string) (*kubbi.Client, error) {
	return func(ctx context.Context, name, apiKey string) (*kubbi.Client, error) {
		if apiKey == "" && name != "" && b.embedded {
			var err error
			if apiKey, err = b.relay.CallerKey(ctx, name); err != nil {
				return nil, err
			}
		}
		if apiKey == "" {
			apiKey = a.cfg.APIKey
		}
		if several {
			return b.client.WithoutIdentities().WithAPIKey(apiKey)
		}
		return b.client.WithAPIKey(apiKey)
	}
}

// checkKeys refuses several callers that would share this process's key, and with it their
// kubbis.
func checkKeys(tokens []server.Token) error {
	for _, t := range tokens {
		if t.APIKey == "" && len(tokens) > 1 {
			return errors.New("--auth-token-file: " + t.Name + " has no Kubbi API key, and can't share this server's with the others; give each a key, after its token")
		}
	}
	return nil
}
