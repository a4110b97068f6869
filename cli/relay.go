package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
	"unicode/utf8"

	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/memory"
	"kubbi-mcp/internal/origin"
	"kubbi-mcp/internal/private"
	"kubbi-mcp/internal/untrusted"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/service"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// relayCmd is `kubbi-mcp relay`.
type relayCmd struct {
	Serve  relayServeCmd  `cmd:"" default:"withargs" help:"Serve a relay to a team, until it is stopped. This is what relay does by itself."`
	Check  relayCheckCmd  `cmd:"" help:"Look at all that a relay with the same flags needs, and say what to fix; exits 1 if anything has failed."`
	Health relayHealthCmd `cmd:"" help:"Ask the relay on this machine whether it is ready; exits 1 if not."`
}

// relayFlags are the flags of a relay.
type relayFlags struct {
	storeFlag
	keyringFlag
	listenFlags
	PublicURL     string        `group:"Relay:" name:"public-url" variable:"KUBBI_RELAY_PUBLIC_URL" placeholder:"URL" help:"Origin of claim URLs, as https://kubbi.example.com. Needed unless the address is a loopback one."`
	Name          string        `group:"Relay:" variable:"KUBBI_RELAY_NAME" placeholder:"NAME" help:"Who runs the relay, as its pages for browsers say it, such as 'the platform team'."`
	Contact       string        `group:"Relay:" variable:"KUBBI_RELAY_CONTACT" placeholder:"TEXT" help:"Where people can ask about the relay, as its front page says it: an address, a channel."`
	TrustedProxy  []string      `group:"Relay:" variable:"KUBBI_RELAY_TRUSTED_PROXIES" placeholder:"ADDRESS" help:"Believe this reverse proxy, an address or a prefix such as 10.0.0.0/8, about where a request comes from; may be repeated."`
	GuessLimit    int           `group:"Relay:" variable:"KUBBI_RELAY_GUESS_LIMIT" placeholder:"N" default:"30" help:"Wrong claim tokens and API keys that an address may try in a minute (${default}); 0 for any number."`
	Grace         time.Duration `group:"Relay:" variable:"KUBBI_RELAY_GRACE" placeholder:"DURATION" default:"60s" help:"How long a create or claim with an Idempotency-Key may be repeated (${default}); 0 for not at all."`
	Retention     time.Duration `group:"Relay:" variable:"KUBBI_RELAY_RETENTION" placeholder:"DURATION" default:"24h" help:"How long it is remembered that a kubbi has ended, and how (${default})."`
	MaxStorage    byteSize      `group:"Relay:" variable:"KUBBI_RELAY_MAX_STORAGE" placeholder:"SIZE" default:"0" help:"Refuse kubbis when the store holds payloads of this size in all, such as 20GiB; by default it may grow until its disk is full."`
	Notify        bool          `group:"Relay:" variable:"KUBBI_RELAY_NOTIFY" help:"Let producers ask for webhook receipts, at https URLs of the public internet."`
	NotifyAllow   []string      `group:"Relay:" variable:"KUBBI_RELAY_NOTIFY_ALLOW" placeholder:"ADDRESS" help:"Also send receipts to this address or prefix, over plain http too; may be repeated. Implies --notify."`
	MetricsListen string        `group:"Relay:" variable:"KUBBI_RELAY_METRICS_LISTEN" placeholder:"HOST:PORT" help:"Address of a listener for Prometheus and for probes, which nobody else should reach. By default there is none."`
	AccessLog     bool          `group:"Relay:" negatable:"" variable:"KUBBI_RELAY_ACCESS_LOG" default:"true" help:"Log a line for each request, at info."`
	MaxConns      int           `group:"Relay:" variable:"KUBBI_RELAY_MAX_CONNS" placeholder:"N" default:"4096" help:"Connections open at once (${default})."`
	MaxRequests   int           `group:"Relay:" variable:"KUBBI_RELAY_MAX_REQUESTS" placeholder:"N" default:"512" help:"Requests running at once (${default})."`
	LameDuck      time.Duration `group:"Relay:" variable:"KUBBI_RELAY_LAME_DUCK" placeholder:"DURATION" default:"5s" help:"When stopped, still take requests for so long, if somebody has been watching /readyz (${default})."`
	Drain         time.Duration `group:"Relay:" variable:"KUBBI_RELAY_DRAIN" placeholder:"DURATION" default:"10s" help:"When stopped, let running requests go on for so long after that (${default})."`
}

// listenFlags say where a relay is.
type listenFlags struct {
	Listen  string `group:"Relay:" variable:"KUBBI_RELAY_LISTEN" placeholder:"HOST:PORT" default:"127.0.0.1:7118" help:"Address to listen at (${default})."`
	TLSCert string `complete:"file" group:"Relay:" name:"tls-cert" variable:"KUBBI_RELAY_TLS_CERT" placeholder:"FILE" help:"Certificate chain, PEM; read anew when it changes."`
	TLSKey  string `complete:"file" group:"Relay:" name:"tls-key" variable:"KUBBI_RELAY_TLS_KEY" placeholder:"FILE" help:"The certificate's key, PEM."`
}

var errListen = errors.New("--listen (KUBBI_RELAY_LISTEN) must be HOST:PORT, as 127.0.0.1:7118")

// relayServeCmd is `kubbi-mcp relay` itself.
type relayServeCmd struct{ relayFlags }

// Run serves until the context ends.
func (c *relayServeCmd) Run(a *app) (err error) {
	defer memory.HoldRelayBallast()()
	cfg, err := c.config(a)
	if err != nil {
		return usage(err)
	}
	l, scrape, err := c.bind(a.ctx)
	if err != nil {
		return usage(err)
	}
	defer l.Close()
	if scrape != nil {
		defer scrape.Close()
	}
	dir, err := a.dataDir() // the default place of the store and the keyring
	if err != nil {
		return err
	}
	if err := private.MakeDir(dir); err != nil {
		return usagef("--data-dir (KUBBI_DATA_DIR): %w", err)
	}
	db, err := a.openStore(c.Store)
	if err != nil {
		return err
	}
	defer func() { err = closingStore(db, err) }()
	if cfg.Keyring, err = c.openKeyring(a, db); err != nil {
		return err
	}
	cfg.Relay.Store = db
	if cfg.Relay.Origin = c.PublicURL; c.PublicURL == "" {
		cfg.Relay.Origin = c.scheme() + "://" + l.Addr().String()
	}
	s, err := service.New(cfg)
	if err != nil {
		return err
	}
	c.hints(a, db)
	a.log.Info("relay listens", "addr", l.Addr().String(), "scheme", c.scheme(), "public_url", cfg.Relay.Origin, "version", cfg.Version)
	if scrape != nil {
		a.log.Info("metrics and probes", "addr", scrape.Addr().String())
	}
	if err := s.Serve(a.ctx, l, scrape); err != nil {
		return err
	}
	a.log.Info("stopped")
	return nil
}

// config makes the configuration from the flags, without what must be opened.
func (c *relayFlags) config(a *app) (cfg service.Config, err error) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return cfg, errListen
	}
	if c.PublicURL == "" && !origin.LoopbackHost(host) {
		return cfg, errors.New("--listen (KUBBI_RELAY_LISTEN) is not a loopback address, so others may reach it: say under which URL with --public-url (KUBBI_RELAY_PUBLIC_URL)")
	}
	if c.Grace < 0 || c.Retention <= 0 || c.GuessLimit < 0 || c.MaxConns < 1 || c.MaxRequests < 1 || c.LameDuck < 0 || c.Drain <= 0 {
		return cfg, errors.New("--retention, --max-conns, --max-requests and --drain must be above 0; --grace, --guess-limit and --lame-duck must not be below")
	}
	proxies, err := relay.ParsePrefixes(c.TrustedProxy)
	if err != nil {
		return cfg, fmt.Errorf("--trusted-proxy (KUBBI_RELAY_TRUSTED_PROXIES): %w", err)
	}
	allowed, err := relay.ParsePrefixes(c.NotifyAllow)
	if err != nil {
		return cfg, fmt.Errorf("--notify-allow (KUBBI_RELAY_NOTIFY_ALLOW): %w", err)
	}
	if !isLabel(c.Name) || !isLabel(c.Contact) {
		return cfg, errors.New("--name and --contact (KUBBI_RELAY_NAME, KUBBI_RELAY_CONTACT) must be one line of at most 200 characters that can be seen")
	}
	if c.PublicURL != "" {
		if _, err := relay.ParseOrigin(c.PublicURL); err != nil {
			return cfg, fmt.Errorf("--public-url (KUBBI_RELAY_PUBLIC_URL): %w", err)
		}
	}
	if _, err := a.storeName(c.Store); err != nil {
		return cfg, err
	}
	// In these configurations 0 is the default, and -1 is none.
	cfg = service.Config{
		Relay: relay.Config{
			Name: c.Name, Contact: c.Contact, Limits: a.cfg.limits(), Grace: cmp.Or(c.Grace, -1), Retention: c.Retention, GuessLimit: c.GuessLimit, TrustedProxies: proxies,
			MaxStorage: int64(c.MaxStorage), AccessLog: c.AccessLog, Logger: a.log,
		},
		Version: buildInfo().Version,
		Limits:  service.Limits{Connections: c.MaxConns, Requests: c.MaxRequests, LameDuck: cmp.Or(c.LameDuck, -1), Drain: c.Drain},
	}
	if c.Notify || len(allowed) > 0 {
		cfg.Relay.Notify = &webhook.Options{Allow: allowed}
	}
	cfg.Certificate, err = a.certificate(c.TLSCert, c.TLSKey)
	return cfg, err
}

// isLabel reports whether a text can stand on a page as somebody's name.
func isLabel(text string) bool {
	return utf8.RuneCountInString(text) <= 200 && !untrusted.HasInvisible(text)
}

func (c *listenFlags) scheme() string {
	if c.TLSCert != "" {
		return "https"
	}
	return "http"
}

// bind binds the addresses. scrape is nil without --metrics-listen.
func (c *relayFlags) bind(ctx context.Context) (l, scrape net.Listener, err error) {
	if l, err = listen(ctx, c.Listen); err != nil {
		return nil, nil, fmt.Errorf("--listen (KUBBI_RELAY_LISTEN): %w", err)
	}
	if c.MetricsListen != "" {
		if scrape, err = listen(ctx, c.MetricsListen); err != nil {
			_ = l.Close() // nothing was served on it
			return nil, nil, fmt.Errorf("--metrics-listen (KUBBI_RELAY_METRICS_LISTEN): %w", err)
		}
	}
	return l, scrape, nil
}

// openKeyring opens the keyring. If it is a file that is missing, openKeyring makes it,
// unless the store has kubbis: those were sealed under a keyring that is lost.
func (c *relayFlags) openKeyring(a *app, db store.Store) (*keyring.Live, error) {
	source, err := a.keyringSource(c.Keyring)
	if err != nil {
		return nil, err
	}
	if f, ok := source.(keyring.File); ok {
		used := func() (bool, error) {
			needed, err := db.MasterKeys(a.ctx)
			if err != nil {
				return false, fmt.Errorf("ask the store which keys it needs: %w", err)
			}
			return len(needed) > 0, nil
		}
		made, err := keyring.MakeIfMissing(a.ctx, f, used, "the store", rand.Reader, time.Now())
		if err != nil {
			return nil, err
		}
		if made {
			a.log.Info("a keyring was made: keep a copy apart from the store's; every relay of the store needs the same one", "file", string(f))
		}
	}
	ring, err := keyring.Open(a.ctx, keyring.Config{Source: source, Needs: db.MasterKeys, Logger: a.log})
	if err != nil {
		return nil, err
	}
	return ring, ring.CheckComplete(a.ctx, "the store")
}

// hints logs what is probably missing.
func (c *relayFlags) hints(a *app, db store.Store) {
	if keys, err := db.APIKeys(a.ctx); err == nil && len(keys) == 0 {
		a.log.Warn("nobody can create kubbis yet: make an API key with kubbi-mcp keys create --label NAME, for the same store")
	}
	host, _, _ := net.SplitHostPort(c.Listen)
	if u, err := url.Parse(c.PublicURL); c.scheme() == "http" && !origin.LoopbackHost(host) && (err != nil || u.Scheme != "https") {
		a.log.Warn("plain HTTP on the network: API keys, claim URLs and all content can be read on the way; use --tls-cert, or a proxy that has TLS and an https --public-url")
	}
}
