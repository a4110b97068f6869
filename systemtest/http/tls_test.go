package http

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// certificate writes a certificate for this machine, and its key.
func certificate(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, name, certFile, keyFile)
	return certFile, keyFile
}

func writeCertificate(t *testing.T, name, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTLS serves with a certificate that changes.
func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, "first")
	s := startHTTP(t, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(s.url, "https://") {
		t.Fatalf("it serves at %s", s.url)
	}
	name := func() string {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			return ""
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := name(); got != "first" {
		t.Errorf("the certificate of %q", got)
	}
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	for _, transport := range []string{overHTTP, overSSE} {
		p := newPeer(s.url, transport, nil, hc)
		t.Cleanup(p.close)
		if err := p.open(t.Context()); err != nil {
			t.Fatalf("%s: %v", transport, err)
		}
		if res := p.mustCall(t, "send", map[string]any{"content": "over TLS"}); res.IsError || !strings.HasPrefix(res.Field("claim_url"), "http") {
			t.Errorf("send: %s", res.Text())
		}
	}
	if _, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 will do")
	}
	// A client that speaks plain HTTP is told so.
	if resp, err := http.Get("http" + strings.TrimPrefix(s.url, "https") + "/healthz"); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}

	writeCertificate(t, "second", cert, key)
	testkit.Await(t, "the second certificate", func() bool { return name() == "second" })
	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "word of the broken certificate", func() bool {
		return name() == "second" && strings.Contains(s.log.String(), "the last one stays in use")
	})
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != "second" {
		t.Errorf("with a file gone, the certificate of %q", got)
	}
	writeCertificate(t, "third", cert, key)
	testkit.Await(t, "the third certificate", func() bool { return name() == "third" })
	if strings.Contains(s.log.String(), "PRIVATE KEY") {
		t.Error("the log holds a key")
	}
}
