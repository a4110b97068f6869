package cli

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a TLS certificate in two PEM files, which is read anew when
// they change.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	version [2]fileVersion // of what current was read from
	looked  time.Time
}

// fileVersion tells a file's contents from earlier ones.
type fileVersion struct {
	modified time.Time
	size     int64
}

// certificateAge is how long a certificate is used without a look at its files.
const certificateAge = time.Second

// newCertificate reads a certificate. An error names the file, and says nothing
// of the key.
func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// get gives the certificate for a handshake, as tls.Config.GetCertificate wants
// it. If what is in the files now can't be used, the last one that could stays.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= certificateAge {
		if err := c.read(); err != nil {
			c.log.Error("the TLS certificate can't be read; the last one stays in use", "error", err)
		}
	}
	return c.current, nil
}

// read reads the files if they have changed.
func (c *certificate) read() error {
	c.looked = time.Now()
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
