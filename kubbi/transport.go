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
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &rewordedError{certificateFault(cert), err}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		if op.Op == "proxyconnect" {
			return &rewordedError{"the proxy did not connect", err}
		}
		return err
	}
	if _, ok := errors.AsType[textproto.ProtocolError](err); ok || strings.Contains(err.Error(), "malformed MIME header") {
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
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "tls: the certificate is not valid for this host"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "tls: the certificate has expired or is not yet valid"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "tls: the certificate is signed by unknown authority"
	}
	return "tls: the certificate can't be verified"
}
