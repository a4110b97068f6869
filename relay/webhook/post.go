package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/internal/dial"
	"kubbi-mcp/kubbi/api"
)

const (
	attemptTimeout = 15 * time.Second
	maxAnswer      = 4 << 10 // bytes of a receiver's answer that are read
)

// client makes an HTTP client that dials only allowed addresses. It follows no redirect, and
// uses no proxy, which could resolve a name to another address.
func (o *Options) client(allowed func(netip.Addr) bool) *http.Client {
	d := dial.NewDialer()
	d.Resolver = o.Resolver
	dial.Guard(d, allowed)
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            d.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    attemptTimeout,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxIdleConns:           maxRunning,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// sign makes the signature header of a receipt.
func sign(secret, id, timestamp string, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, api.WebhookSecretPrefix))
	if err != nil {
		return "", errors.New("the secret of a webhook is not base64")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// answer is the answer of a receiver.
type answer struct {
	status int
	after  time.Duration // its Retry-After; 0: none
}

// post makes one attempt. Its errors may contain the URL; use reason to log them.
func (s *Sender) post(ctx context.Context, id string, to *Target, r *Receipt) (answer, error) {
	body, err := json.Marshal(r.Body)
	if err != nil {
		return answer{}, err
	}
	now := s.cfg.Now()
	timestamp := strconv.FormatInt(now.Unix(), 10)
	signature, err := sign(to.Secret, id, timestamp, body)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "kubbi-mcp")
	req.Header.Set(api.HeaderWebhookID, id)
	req.Header.Set(api.HeaderWebhookTimestamp, timestamp)
	req.Header.Set(api.HeaderWebhookSignature, signature)
	client := s.https
	if req.URL.Scheme == "http" {
		client = s.plain
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	// The connection can be used again only if the body is read to its end.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	_ = resp.Body.Close()
	return answer{resp.StatusCode, retryAfter(resp.Header, now)}, nil
}

// reason says why there was no answer. It contains neither the URL nor text from the
// receiver.
func reason(err error) string {
	var (
		op   *net.OpError
		name *net.DNSError
		cert *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(err, dial.ErrAddress):
		return dial.ErrAddress.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %v", attemptTimeout)
	case errors.As(err, &name):
		return "its name was not found"
	case errors.As(err, &cert):
		return "its certificate is not trusted"
	case errors.As(err, &op):
		return op.Op + ": " + op.Err.Error()
	}
	return "no valid answer"
}

// hostOf is the host and port of a target. It may be logged, and maxPerHost counts by it.
func hostOf(to *Target) string {
	u, err := url.Parse(to.URL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}
