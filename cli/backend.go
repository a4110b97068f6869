package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/local"
	"kubbi-mcp/tools/claims"
)

// backend is the Kubbi client of a command and the embedded relay under it. The relay
// answers its own claim URLs, also if new kubbis go to another service. It opens the
// data directory at the first request that needs it.
type backend struct {
	client   *kubbi.Client
	relay    *local.Relay
	relayURL string // the origin of the embedded relay's claim URLs
	base     string // the base URL for new kubbis
	embedded bool   // new kubbis go to the embedded relay
	dir      string // the data directory
	log      *slog.Logger
}

// claimer makes the claims of a command, and has its handles.
func (b *backend) claimer() *claims.Claimer {
	return claims.New(b.client, claims.NewState(b.dir), "", b.log)
}

// reach says from where the claim URLs of new kubbis can be used.
func (b *backend) reach() string {
	u, err := url.Parse(b.base)
	switch {
	case b.embedded:
		return b.relay.Reach()
	case err != nil || origin.LoopbackHost(u.Hostname()):
		return "this machine"
	}
	return "wherever " + u.Scheme + "://" + u.Host + " can be reached"
}

// Close ends the client's requests and closes the relay.
func (b *backend) Close() error {
	return errors.Join(b.client.Close(), b.relay.Close())
}

// withBackend connects, does a command's work and closes the backend.
func (a *app) withBackend(work func(*backend) error) error {
	b, err := a.connect()
	if err != nil {
		return err
	}
	err = work(b)
	if closeErr := b.Close(); err == nil && closeErr != nil {
		return fmt.Errorf("close: %w", closeErr)
	}
	return err
}

// show makes a command's request and prints the answer, as JSON or as text.
func show[T any](a *app, command string, asJSON bool, request func(*backend) (T, error), text func(T) string) error {
	return a.withBackend(func(b *backend) error {
		answer, err := request(b)
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		if asJSON {
			return a.printJSON(answer)
		}
		return a.print(text(answer))
	})
}

// connect makes the client and the embedded relay from the flags. It uses neither disk
// nor network, so all its errors are configuration errors.
func (a *app) connect() (*backend, error) {
	dir, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	limits := a.cfg.limits()
	relay, err := local.New(local.Config{Dir: dir, Origin: a.cfg.RelayURL, TrustAddress: a.trustsRelayURL(), Limits: limits, Logger: a.log})
	if err != nil {
		return nil, usagef("--relay-url (KUBBI_RELAY_URL) or --data-dir (KUBBI_DATA_DIR): %w", err)
	}
	b := &backend{relay: relay, relayURL: a.cfg.RelayURL, base: a.baseURL(), dir: dir, log: a.log}
	if b.embedded = b.base == ""; b.embedded {
		b.base = a.cfg.RelayURL
	}
	if u, err := url.Parse(b.base); err == nil && u.Scheme == "http" && a.cfg.APIKey != "" && !origin.LoopbackHost(u.Hostname()) {
		a.log.Warn("the base URL is plain http: the API key and all content can be read on the way", "base_url", u.Scheme+"://"+u.Host)
	}
	b.client, err = kubbi.NewClient(a.cfg.APIKey,
		kubbi.WithBaseURL(b.base),
		kubbi.WithAllowedOrigins(append([]string{a.cfg.RelayURL}, a.cfg.AllowOrigin...)...),
		kubbi.WithTraceOrigins(a.cfg.RelayURL),
		kubbi.WithMiddleware(relay.RoundTripper),
		kubbi.WithInProcessOrigin(a.cfg.RelayURL),
		kubbi.WithMemoryLimit(max(kubbi.DefaultMemoryLimit, answerLimit(limits))),
		kubbi.WithFileLimit(max(kubbi.DefaultFileLimit, answerLimit(limits))),
		kubbi.WithUserAgent("kubbi-mcp/"+buildInfo().Version),
		kubbi.WithLogger(a.log),
		kubbi.WithIdentities(a.identities(dir)),
	)
	if err != nil {
		return nil, usagef("--base-url (KUBBI_BASE_URL) or --allow-origin (KUBBI_ALLOW_ORIGINS): %w", err)
	}
	return b, nil
}

// baseURL is where new kubbis go, "" for the embedded relay.
func (a *app) baseURL() string {
	if a.cfg.BaseURL == "" && a.cfg.APIKey != "" {
		return kubbi.DefaultBaseURL
	}
	return a.cfg.BaseURL
}

// trustsRelayURL reports whether --allow-origin names the embedded relay's origin. That
// origin is always allowed; naming it means to trust any process at its address.
func (a *app) trustsRelayURL() bool {
	own, err := origin.Parse(a.cfg.RelayURL)
	return err == nil && slices.ContainsFunc(a.cfg.AllowOrigin, func(o string) bool {
		other, err := origin.Parse(o)
		return err == nil && other == own
	})
}

// pollEvery is how often the server looks for receipts: less often at a service that
// others use as well. 0 is the server's default.
func (a *app) pollEvery() time.Duration {
	base := a.baseURL()
	if u, err := url.Parse(base); base == "" || err != nil || origin.LoopbackHost(u.Hostname()) {
		return 0
	}
	return 2 * time.Second
}
