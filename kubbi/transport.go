package kubbi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"kubbi-mcp/internal/dial"
)

// newTransport makes a client's transport: with many connections to one host, so that
// parallel calls do not queue, and with HTTP/2 where it is offered.
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
		DisableCompression:     true, // limits count what arrives
		WriteBufferSize:        32 << 10,
		ReadBufferSize:         32 << 10,
	}
}

// newGuardedTransport is newTransport for origins that only AnyOrigin allows. It dials
// public addresses only, and uses no proxy.
func newGuardedTransport() *http.Transport {
	t := newTransport()
	t.Proxy = nil
	d := dial.NewDialer()
	dial.Guard(d, dial.Public)
	t.DialContext = d.DialContext
	return t
}

// quietTransport removes text of the server from net/http's errors. These errors may quote a
// broken answer, which may repeat the request's path with its token.
type quietTransport struct{ next http.RoundTripper }

func (t quietTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, quiet(err)
	}
	return resp, nil
}

// quiet keeps the kind of an error, and removes text that comes from the server.
func quiet(err error) error {
	var (
		op    *net.OpError
		cert  *tls.CertificateVerificationError
		proto textproto.ProtocolError
	)
	switch {
	case errors.As(err, &cert):
		return &rewordedError{certificateFault(cert), err}
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return &rewordedError{"the proxy did not connect", err}
	case errors.As(err, &op):
		return err
	case errors.As(err, &proto), strings.Contains(err.Error(), "malformed MIME header"):
		return errors.New("the answer's headers are malformed")
	}
	if text, _, quotes := strings.Cut(err.Error(), `"`); quotes {
		return errors.New(strings.TrimRight(text, " :;"))
	}
	return err
}

// rewordedError replaces the text of an error that may quote a server.
type rewordedError struct {
	text  string
	cause error
}

func (w *rewordedError) Error() string { return w.text }

func (w *rewordedError) Unwrap() error { return w.cause }

// certificateFault says what is wrong with a certificate, without quoting it.
func certificateFault(err error) string {
	var (
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &host):
		return "tls: the certificate is not valid for this host"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "tls: the certificate has expired or is not yet valid"
	case errors.As(err, &unknown):
		return "tls: the certificate is signed by unknown authority"
	}
	return "tls: the certificate can't be verified"
}
