package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a TLS certificate in two PEM files. It is read again when they change.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	version [2]fileVersion // of the files that current was read from
	checked time.Time      // the last time the files were checked
}

// fileVersion changes when the content of a file does.
type fileVersion struct {
	modified time.Time
	size     int64
}

// certificateAge is how long a certificate is used before its files are checked again.
const certificateAge = time.Second

// certificate reads the certificate of --tls-cert and --tls-key for
// tls.Config.GetCertificate, nil without these flags. Its errors name the files and hold
// nothing of the key.
func (a *app) certificate(certFile, keyFile string) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	if certFile == "" || keyFile == "" {
		return nil, errors.New("--tls-cert and --tls-key go together")
	}
	c := &certificate{certFile: certFile, keyFile: keyFile, log: a.log}
	return c.get, c.read()
}

// get gives the certificate. If the files can't be used now, it gives the last one that
// could.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certificateAge {
		if err := c.read(); err != nil {
			c.log.Error("the TLS certificate can't be read; the last one stays in use", "error", err)
		}
	}
	return c.current, nil
}

// read reads the files if they have changed since the last time.
func (c *certificate) read() error {
	c.checked = time.Now()
	var version [2]fileVersion
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("TLS certificate: %w", err)
		}
		version[i] = fileVersion{info.ModTime(), info.Size()}
	}
	if c.current != nil && version == c.version {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	if c.current != nil {
		c.log.Info("the TLS certificate has changed", "file", c.certFile)
	}
	c.current, c.version = &cert, version
	return nil
}
