package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/local"
)

// backend is what a command talks to: the client, and beneath it the embedded
// relay, which answers its own claim URLs even where kubbis are created
// elsewhere. It opens the data directory at the first request that needs it.
type backend struct {
	client   *kubbi.Client
	relay    *local.Relay
	base     string // origin that kubbis are created at
	embedded bool   // that is the embedded relay
}

// reach says from where the claim URLs of new kubbis can be used.
func (b *backend) reach() string {
	u, err := url.Parse(b.base)
	switch {
	case b.embedded:
		return b.relay.Reach()
	case err != nil || loopback(u.Hostname()):
		return "this machine"
	}
	return "wherever " + u.Scheme + "://" + u.Host + " can be reached"
}

// connect wires client and relay as the flags say. It touches neither disk nor
// network, so all its errors are wrong configuration.
func (a *app) connect() (*backend, error) {
	dir, err := a.dataDir()
	if err != nil {
		return nil, usage(err)
	}
	limits := a.cfg.limits()
	relay, err := local.New(local.Config{Dir: dir, Origin: a.cfg.RelayURL, TrustAddress: a.trustsRelayURL(), Limits: limits, Logger: a.log})
	if err != nil {
		return nil, usagef("--relay-url (KUBBI_RELAY_URL) or --data-dir (KUBBI_DATA_DIR): %w", err)
	}
	b := &backend{relay: relay}
	base := a.cfg.BaseURL
	switch {
	case base != "":
	case a.cfg.APIKey != "":
		base = kubbi.DefaultBaseURL
	default:
		base, b.embedded = a.cfg.RelayURL, true
	}
	b.base = base
	if u, err := url.Parse(base); err == nil && u.Scheme == "http" && a.cfg.APIKey != "" && !loopback(u.Hostname()) {
		a.log.Warn("the base URL is plain http: the API key and all content can be read on the way", "base_url", u.Scheme+"://"+u.Host)
	}
	b.client, err = kubbi.NewClient(a.cfg.APIKey,
		kubbi.WithBaseURL(base),
		kubbi.WithAllowedOrigins(append([]string{a.cfg.RelayURL}, a.cfg.AllowOrigin...)...),
		kubbi.WithTraceOrigins(a.cfg.RelayURL),
		kubbi.WithMiddleware(relay.RoundTripper),
		kubbi.WithInProcessOrigin(a.cfg.RelayURL),
		kubbi.WithMemoryLimit(max(kubbi.DefaultMemoryLimit, answerLimit(limits))),
		kubbi.WithFileLimit(max(kubbi.DefaultFileLimit, answerLimit(limits))),
		kubbi.WithUserAgent("kubbi-mcp/"+buildInfo().Version),
		kubbi.WithLogger(a.log),
	)
	if err != nil {
		return nil, usagef("--base-url (KUBBI_BASE_URL) or --allow-origin (KUBBI_ALLOW_ORIGINS): %w", err)
	}
	return b, nil
}

// trustsRelayURL tells whether the user has allowed the embedded relay's origin by
// name: it is allowed anyway, so that means whoever has the address.
func (a *app) trustsRelayURL() bool {
	own, err := origin.Parse(a.cfg.RelayURL)
	return err == nil && slices.ContainsFunc(a.cfg.AllowOrigin, func(o string) bool {
		other, err := origin.Parse(o)
		return err == nil && other == own
	})
}

// pollEvery is how often to look for receipts: less often where others use the
// service as well. 0 is the server's default.
func (a *app) pollEvery() time.Duration {
	base := a.cfg.BaseURL
	if base == "" && a.cfg.APIKey != "" {
		base = kubbi.DefaultBaseURL
	}
	if u, err := url.Parse(base); base == "" || err != nil || loopback(u.Hostname()) {
		return 0
	}
	return 2 * time.Second
}

// loopback tells whether a host is this machine.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// dataDir is the folder of the embedded relay.
func (a *app) dataDir() (string, error) {
	dir := a.cfg.DataDir
	if dir == "" {
		home := dataHome()
		if home == "" {
			return "", errors.New("no home directory is known: set --data-dir (KUBBI_DATA_DIR)")
		}
		dir = filepath.Join(home, "kubbi")
	}
	dir, err := absolute(dir)
	if err != nil {
		return "", fmt.Errorf("--data-dir (KUBBI_DATA_DIR): %w", err)
	}
	return dir, nil
}

// absolute gives a folder's absolute path. Hosts start a server in a working
// directory of their own choice and pass values no shell has seen.
func absolute(dir string) (string, error) {
	if rest, ok := cutHome(dir); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(home, rest)
	}
	return filepath.Abs(dir)
}

// cutHome splits a leading "~" off a path.
func cutHome(path string) (rest string, ok bool) {
	if path == "~" {
		return "", true
	}
	if len(path) >= 2 && path[0] == '~' && os.IsPathSeparator(path[1]) {
		return path[2:], true
	}
	return "", false
}

// Close ends what the client has under way, then the relay that serves it.
func (b *backend) Close() error {
	return errors.Join(b.client.Close(), b.relay.Close())
}
