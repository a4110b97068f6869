package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCheckCertificate checks certificates by their time and name.
func TestCheckCertificate(t *testing.T) {
	now := time.Now()
	const day = 24 * time.Hour
	for _, test := range []struct {
		name        string
		from, until time.Duration
		host        string
		state       checkState
		detail      string
	}{
		{"good", -day, 60 * day, "kubbi.example.com", checkOK, "good until"},
		{"wildcard", -day, 60 * day, "*.example.com", checkOK, "good until"},
		{"ends soon", -day, 10 * day, "kubbi.example.com", checkWarning, "ends soon"},
		{"has ended", -2 * day, -day, "kubbi.example.com", checkFailed, "it ended at"},
		{"not yet", day, 2 * day, "kubbi.example.com", checkFailed, "not good before"},
		{"of another host", -day, 60 * day, "other.example.com", checkFailed, "does not name kubbi.example.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := relayFlags{PublicURL: "https://kubbi.example.com"}
			f.TLSCert, f.TLSKey = testCertificate(t, test.host, now.Add(test.from), now.Add(test.until))
			got := f.checkCertificate(now)
			if got.State != test.state || !strings.Contains(got.Detail, test.detail) || (got.Fix == "") != (test.state == checkOK) {
				t.Errorf("got %+v", got)
			}
		})
	}

	f := relayFlags{}
	f.TLSCert, _ = testCertificate(t, "kubbi.example.com", now.Add(-day), now.Add(day))
	_, f.TLSKey = testCertificate(t, "kubbi.example.com", now.Add(-day), now.Add(day))
	if got := f.checkCertificate(now); got.State != checkFailed || !strings.Contains(got.Detail, f.TLSCert) {
		t.Errorf("another certificate's key: %+v", got)
	}
}

// testCertificate writes a certificate and its key.
func testCertificate(t *testing.T, host string, from, until time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: from, NotAfter: until}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
