package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/relay/store"
)

// checkURL looks at the public URL.
func (c *relayFlags) checkURL(cs *checks) {
	const name = "public URL"
	u, err := url.Parse(c.PublicURL)
	switch {
	case c.PublicURL == "":
		cs.warn(name, "claim URLs work on this machine only", "say with --public-url how others reach the relay")
	case err != nil || u.Hostname() == "":
		cs.fail(name, "it is not one", "write it as https://kubbi.example.com")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		cs.warn(name, c.PublicURL+" is plain http: API keys, claim URLs and all content can be read on the way",
			"use --tls-cert, or a proxy that has TLS, and an https URL")
	case c.TLSCert == "" && u.Scheme == "https" && len(c.TrustedProxy) == 0:
		cs.warn(name, c.PublicURL+" is https, and this relay has no certificate: a proxy must have it",
			"name the proxy with --trusted-proxy, or all requests seem to come from it")
	default:
		cs.ok(name, "claim URLs begin with %s", c.PublicURL)
	}
}

const certificateWarning = 14 * 24 * time.Hour // before its end

// checkCertificate looks at when and for whom the certificate is good.
func (c *relayFlags) checkCertificate(cs *checks, now time.Time) {
	const name = "certificate"
	if c.TLSCert == "" || c.TLSKey == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		cs.fail(name, fmt.Sprintf("%s with key %s: %v", c.TLSCert, c.TLSKey, err), "give PEM files that go together, and that the relay may read")
		return
	}
	cert := pair.Leaf
	if cert == nil {
		if cert, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			cs.fail(name, err.Error(), "replace it")
			return
		}
	}
	u, err := url.Parse(c.PublicURL)
	switch ends := cert.NotAfter.UTC().Format(time.RFC3339); {
	case now.After(cert.NotAfter):
		cs.fail(name, "it ended at "+ends, "renew it; the relay takes up the new files by itself")
	case now.Before(cert.NotBefore):
		cs.fail(name, "it is not good before "+cert.NotBefore.UTC().Format(time.RFC3339), "see that this machine's clock is right")
	case err == nil && c.PublicURL != "" && cert.VerifyHostname(u.Hostname()) != nil:
		cs.fail(name, "it does not name "+u.Hostname(), "get one for the host of --public-url")
	case now.Add(certificateWarning).After(cert.NotAfter):
		cs.warn(name, "it ends soon, at "+ends, "renew it; the relay takes up the new files by itself")
	default:
		cs.ok(name, "it is good until %s", ends)
	}
}

// checkAddresses looks whether the addresses are free.
func (c *relayFlags) checkAddresses(ctx context.Context, cs *checks) {
	for _, l := range []struct{ name, flag, addr string }{
		{"address", "--listen", c.Listen}, {"metrics address", "--metrics-listen", c.MetricsListen},
	} {
		if l.addr == "" {
			continue
		}
		free, err := listen(ctx, l.addr)
		if err == nil {
			_ = free.Close()
			cs.ok(l.name, "%s is free", l.addr)
		} else if relayAt(ctx, c.scheme(), l.addr) {
			cs.warn(l.name, "a relay answers at "+l.addr+" already", "stop it first, if it is not this one")
		} else {
			cs.fail(l.name, err.Error(), "give another address with "+l.flag+", or stop what has it")
		}
		if host, _, err := net.SplitHostPort(l.addr); err == nil && l.addr == c.MetricsListen && !loopback(host) {
			cs.warn(l.name, l.addr+" is not a loopback address, and asks nobody who they are", "let only Prometheus reach it")
		}
	}
}

// relayAt says whether a relay answers at an address.
func relayAt(ctx context.Context, scheme, addr string) bool {
	own, err := ownAddr(addr)
	if err != nil {
		return false
	}
	for _, scheme := range []string{scheme, "http"} {
		if status, _, err := askRelay(ctx, scheme+"://"+own+"/livez"); err == nil && status == 200 {
			return true
		}
	}
	return false
}

// checkFolder looks at the data directory.
func (a *app) checkFolder(cs *checks) {
	const name = "data directory"
	dir, err := a.dataDir()
	if err != nil {
		cs.fail(name, err.Error(), "set --data-dir")
		return
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		cs.warn(name, dir+" is not there", "the relay makes it, if it may")
		return
	}
	if err != nil || !info.IsDir() {
		cs.fail(name, dir+" is not a folder that can be read", "give another with --data-dir")
		return
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o022 != 0 {
		cs.fail(name, fmt.Sprintf("%s may be written by others (mode %04o)", dir, mode), "make it private with chmod 700")
		return
	}
	f, err := os.CreateTemp(dir, "check-*.tmp")
	if err != nil {
		cs.fail(name, err.Error(), "let the relay's user write there")
		return
	}
	_ = f.Close()
	if err := os.Remove(f.Name()); err != nil {
		cs.fail(name, err.Error(), "let the relay's user write there")
		return
	}
	cs.ok(name, "%s is private and can be written", dir)
}

// checkKeyring looks whether the keyring has what the store needs; db is nil if
// there is no store yet.
func (c *relayFlags) checkKeyring(a *app, db store.Store, cs *checks) {
	const name = "keyring"
	source, err := a.keyringSource(c.Keyring)
	if err != nil {
		cs.fail(name, err.Error(), "see docs/keyring.md")
		return
	}
	cfg := keyring.Config{Source: source, Logger: a.log}
	var needed []string
	if db != nil {
		cfg.Needs = db.MasterKeys
		if needed, err = db.MasterKeys(a.ctx); err != nil {
			cs.fail(name, "the store does not say which keys it needs: "+err.Error(), "see that it answers")
			return
		}
	}
	ring, err := keyring.Open(a.ctx, cfg)
	if _, file := source.(keyring.File); file && errors.Is(err, fs.ErrNotExist) && len(needed) == 0 {
		cs.warn(name, "there is none yet", "the relay's first start makes it; relays of one store need the same")
		return
	}
	if err == nil {
		err = ring.CheckComplete(a.ctx, "the store")
	}
	if err != nil {
		cs.fail(name, err.Error(), "put back the keyring that the store was used with")
		return
	}
	cs.ok(name, "it has all that the store needs; %s seals", ring.Current().Sealing(time.Now()))
}

// checkRoom compares the disk of a SQLite store with what may come.
func (c *relayFlags) checkRoom(a *app, name string, stats *store.Stats, cs *checks) {
	if isPostgres(name) {
		return
	}
	path, err := a.storePath(name)
	if err != nil {
		return // told by who opened it
	}
	free, err := disk.Free(filepath.Dir(path))
	switch to := int64(c.MaxStorage) - stats.Bytes; {
	case err != nil:
		cs.warn("disk", err.Error(), "see by yourself that there is room")
	case c.MaxStorage == 0:
		cs.warn("disk", fmt.Sprintf("%d bytes are free, and kubbis may fill them", free), "give the store a limit with --max-storage")
	case free < to:
		cs.fail("disk", fmt.Sprintf("%d bytes are free, and --max-storage lets %d more in", free, to), "lower --max-storage or make room")
	default:
		cs.ok("disk", "%d bytes are free", free)
	}
}
