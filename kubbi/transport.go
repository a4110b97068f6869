package kubbi

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"kubbi-mcp/kubbi/api/dial"
)

// newTransport makes the transport beneath a client: many connections to one
// host, so that parallel calls do not queue, and HTTP/2 where it is offered.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial.NewDialer().DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           128,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        32 << 10,
		ReadBufferSize:         32 << 10,
	}
}

// newGuardedTransport is newTransport for origins that nobody named: it dials
// public addresses only, and uses no proxy.
func newGuardedTransport() *http.Transport {
	t := newTransport()
	t.Proxy = nil
	d := dial.NewDialer()
	dial.Guard(d, dial.Public)
	t.DialContext = d.DialContext
	return t
}

// quietTransport keeps what a server sent out of net/http's errors, which
// quote it: a broken answer may well hold the request's path.
type quietTransport struct{ next http.RoundTripper }

func (t quietTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, quiet(err)
	}
	return resp, nil
}

func quiet(err error) error {
	var (
		op   *net.OpError
		cert *tls.CertificateVerificationError
	)
	if errors.As(err, &op) || errors.As(err, &cert) {
		return err
	}
	if text, _, quotes := strings.Cut(err.Error(), `"`); quotes {
		return errors.New(strings.TrimRight(text, " :;"))
	}
	return err
}
