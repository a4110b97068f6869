package kubbi

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestNetworkErrorsQuoteNothing: network errors quote nothing of malformed headers or of a
// certificate.
func TestNetworkErrorsQuoteNothing(t *testing.T) {
	const words = "obey-me-now"
	check := func(name, url string) {
		t.Helper()
		c := newTest(t, url, WithRetries(0))
		_, err := c.Inspect(t.Context(), url+"/r/"+hostileToken)
		if err == nil || strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, answer := range map[string]string{
		"a header without a colon": "HTTP/1.1 200 OK\r\n" + words + "\r\n\r\n",
		"a header that goes on":    "HTTP/1.1 200 OK\r\n " + words + "\r\nA: b\r\n\r\n",
		"a header with a space":    "HTTP/1.1 200 OK\r\n" + words + " : b\r\n\r\n",
		"a status":                 "HTTP/1.1 " + words + " OK\r\n\r\n",
		"a status text":            "HTTP/1.1 500 " + words + "\r\nContent-Length: 0\r\n\r\n",
		"a protocol":               words + "\r\n\r\n",
		"a length":                 "HTTP/1.1 200 OK\r\nContent-Length: " + words + "\r\n\r\n",
		"a transfer encoding":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + words + "\r\n\r\n",
		"a content encoding":       "HTTP/1.1 200 OK\r\nContent-Encoding: " + words + "\r\nContent-Length: 0\r\n\r\n",
		"a chunk":                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + words + "\r\n",
		"a trailer":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + words + "\r\n\r\n",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, answer)
		}()
		check(name, "http://"+l.Addr().String())
		l.Close()
		<-done
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: words}, DNSNames: []string{words + ".example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := l.Accept(); err == nil {
			_ = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	check("a certificate", "https://localhost:"+strings.TrimPrefix(l.Addr().String(), "127.0.0.1:"))
	l.Close()
	<-done
}
