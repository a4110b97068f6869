package cli

import (
	"context"
	"crypto/tls"
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
	"kubbi-mcp/internal/origin"
	"kubbi-mcp/relay/store"
)

func (c *relayFlags) checkURL() check {
	const name = "public URL"
	u, err := url.Parse(c.PublicURL)
	switch {
	case c.PublicURL == "":
		return checkedWarning(name, "claim URLs work on this machine only", "say with --public-url how others reach the relay")
	case err != nil || u.Hostname() == "":
		return checkedFailed(name, "it is not one", "write it as https://kubbi.example.com")
	case u.Scheme == "http" && !origin.LoopbackHost(u.Hostname()):
		return checkedWarning(name, c.PublicURL+" is plain http: API keys, claim URLs and all content can be read on the way",
			"use --tls-cert, or a proxy that has TLS, and an https URL")
	case c.TLSCert == "" && u.Scheme == "https" && len(c.TrustedProxy) == 0:
		return checkedWarning(name, c.PublicURL+" is https, and this relay has no certificate: a proxy must have it",
			"name the proxy with --trusted-proxy, or all requests seem to come from it")
	}
	return checkedOK(name, "claim URLs begin with %s", c.PublicURL)
}

const certificateWarning = 14 * 24 * time.Hour // before its end

func (c *relayFlags) checkCertificate(now time.Time) check {
	const name = "certificate"
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return checkedFailed(name, fmt.Sprintf("%s with key %s: %v", c.TLSCert, c.TLSKey, err), "give PEM files that go together, and that the relay may read")
	}
	cert := pair.Leaf
	u, err := url.Parse(c.PublicURL)
	switch ends := cert.NotAfter.UTC().Format(time.RFC3339); {
	case now.After(cert.NotAfter):
		return checkedFailed(name, "it ended at "+ends, "renew it; the relay takes up the new files by itself")
	case now.Before(cert.NotBefore):
		return checkedFailed(name, "it is not good before "+cert.NotBefore.UTC().Format(time.RFC3339), "see that this machine's clock is right")
	case err == nil && c.PublicURL != "" && cert.VerifyHostname(u.Hostname()) != nil:
		return checkedFailed(name, "it does not name "+u.Hostname(), "get one for the host of --public-url")
	case now.Add(certificateWarning).After(cert.NotAfter):
		return checkedWarning(name, "it ends soon, at "+ends, "renew it; the relay takes up the new files by itself")
	default:
		return checkedOK(name, "it is good until %s", ends)
	}
}

// checkAddresses checks that the addresses are free.
func (c *relayFlags) checkAddresses(ctx context.Context) (all []check) {
	for _, l := range []struct{ name, flag, addr string }{
		{"address", "--listen", c.Listen}, {"metrics address", "--metrics-listen", c.MetricsListen},
	} {
		if l.addr == "" {
			continue
		}
		free, err := listen(ctx, l.addr)
		switch {
		case err == nil:
			_ = free.Close()
			all = append(all, checkedOK(l.name, "%s is free", l.addr))
		case relayAt(ctx, c.scheme(), l.addr):
			all = append(all, checkedWarning(l.name, "a relay answers at "+l.addr+" already", "stop it first, if it is not this one"))
		default:
			all = append(all, checkedFailed(l.name, err.Error(), "give another address with "+l.flag+", or stop what has it"))
		}
		if host, _, err := net.SplitHostPort(l.addr); err == nil && l.addr == c.MetricsListen && !origin.LoopbackHost(host) {
			all = append(all, checkedWarning(l.name, l.addr+" is not a loopback address, and asks nobody who they are", "let only Prometheus reach it"))
		}
	}
	return all
}

// relayAt reports whether a relay answers at an address.
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

func (a *app) checkDataDir() check {
	const name = "data directory"
	dir, err := a.dataDir()
	if err != nil {
		return checkedFailed(name, err.Error(), "set --data-dir")
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkedWarning(name, dir+" is not there", "the relay makes it, if it may")
	case err != nil || !info.IsDir():
		return checkedFailed(name, dir+" is not a folder that can be read", "give another with --data-dir")
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o022 != 0 {
		return checkedFailed(name, fmt.Sprintf("%s may be written by others (mode %04o)", dir, mode), "make it private with chmod 700")
	}
	f, err := os.CreateTemp(dir, "check-*.tmp")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return checkedFailed(name, err.Error(), "let the relay's user write there")
	}
	return checkedOK(name, "%s is private and can be written", dir)
}

// checkKeyring checks that the keyring has the keys that the store needs. db is nil if
// there is no store yet.
func (c *relayFlags) checkKeyring(a *app, db store.Store) check {
	const name = "keyring"
	source, err := a.keyringSource(c.Keyring)
	if err != nil {
		return checkedFailed(name, err.Error(), "see docs/operations.md")
	}
	cfg := keyring.Config{Source: source, Logger: a.log}
	var needed []string
	if db != nil {
		cfg.Needs = db.MasterKeys
		if needed, err = db.MasterKeys(a.ctx); err != nil {
			return checkedFailed(name, "the store does not say which keys it needs: "+err.Error(), "see that it answers")
		}
	}
	ring, err := keyring.Open(a.ctx, cfg)
	if _, file := source.(keyring.File); file && errors.Is(err, fs.ErrNotExist) && len(needed) == 0 {
		return checkedWarning(name, "there is none yet", "the relay's first start makes it; relays of one store need the same")
	}
	if err == nil {
		err = ring.CheckComplete(a.ctx, "the store")
	}
	if err != nil {
		return checkedFailed(name, err.Error(), "put back the keyring that the store was used with")
	}
	return checkedOK(name, "it has all that the store needs; %s seals", ring.Current().Sealing(time.Now()))
}

// checkDisk compares the free space of a SQLite store's disk with the storage limit.
func (c *relayFlags) checkDisk(path string, stats *store.Stats) check {
	const name = "disk"
	free, err := disk.Free(filepath.Dir(path))
	switch to := int64(c.MaxStorage) - stats.Bytes; {
	case err != nil:
		return checkedWarning(name, err.Error(), "see by yourself that there is room")
	case c.MaxStorage == 0:
		return checkedWarning(name, fmt.Sprintf("%d bytes are free, and kubbis may fill them", free), "give the store a limit with --max-storage")
	case free < to:
		return checkedFailed(name, fmt.Sprintf("%d bytes are free, and --max-storage lets %d more in", free, to), "lower --max-storage or make room")
	}
	return checkedOK(name, "%d bytes are free", free)
}
