package service

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
)

// serveTLS starts a service with TLS. Its client speaks HTTP/2.
func serveTLS(t *testing.T, change func(*Config)) (s *served, url string, plain *http.Client) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s = serve(t, func(c *Config) {
		change(c)
		c.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	plain = s.client
	s.client = &http.Client{Transport: transport}
	return s, strings.Replace(s.url, "http:", "https:", 1), plain
}

// TestTLS serves HTTP/2 over TLS: many requests on one connection, each at its own pace,
// and nothing in plain text.
func TestTLS(t *testing.T) {
	const stall = time.Second
	s, url, plain := serveTLS(t, func(c *Config) { c.Limits.Stall, c.Limits.MinRate = stall, 20 })

	// A request that stands still is ended, and no other request with it.
	still, w := io.Pipe()
	defer w.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if resp, err := s.send("POST", url+api.PathKubbis, still); err == nil {
			resp.Body.Close()
		}
	}()
	if _, err := io.WriteString(w, `{"content":`); err != nil {
		t.Fatal(err)
	}
	var others sync.WaitGroup
	for range 20 {
		others.Go(func() {
			r, w := io.Pipe()
			go func() { // slow, and longer than standing still may be
				for _, piece := range []string{small[:10], small[10:20], small[20:30], small[30:40], small[40:50], small[50:]} {
					time.Sleep(stall / 4)
					_, _ = io.WriteString(w, piece)
				}
				_ = w.Close()
			}()
			resp, err := s.send("POST", url+api.PathKubbis, r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusCreated || resp.ProtoMajor != 2 {
				t.Errorf("%s over %s", resp.Status, resp.Proto)
			}
		})
	}
	others.Wait()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("one that stands still is not ended")
	}

	// The answer to a large claim is whole.
	content := strings.Repeat("x", 5<<20)
	status, text := s.call("POST", url+api.PathKubbis, strings.Replace(small, "p4yload", content, 1))
	if status != http.StatusCreated {
		t.Fatalf("create: %d %.200s", status, text)
	}
	_, token, _ := strings.Cut(text, `"claim_token":"`)
	token, _, _ = strings.Cut(token, `"`)
	if status, text := s.call("POST", url+"/r/"+token+"/claim", ""); status != 200 || !strings.Contains(text, content) {
		t.Errorf("claim: %d, %d bytes", status, len(text))
	}

	resp, err := plain.Get(s.url + "/livez")
	if err == nil {
		defer resp.Body.Close()
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode == 200 || bytes.Contains(b, []byte("status")) {
			t.Errorf("in the clear: %s %s", resp.Status, b)
		}
	}
}
