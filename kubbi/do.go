package kubbi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"kubbi-mcp/internal/dial"
	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
)

const (
	maxBackoffs   = 8                // the longest wait between attempts, in units of the first
	maxRetryAfter = 30 * time.Second // a longer Retry-After is cut to this
	maxRedirects  = 3
)

// request is one call, with all its attempts.
type request struct {
	method   string
	origin   origin.Origin
	path     string // with the token or id
	query    string
	shape    string        // the path as logs show it
	producer bool          // sends the API key
	guarded  bool          // only AnyOrigin allows the origin
	once     bool          // no further attempts
	wait     time.Duration // whole seconds that the server may wait for a change; 0: none
	seen     string        // with wait: the state that is known
	token    string        // the claim token in path, for redaction
	fragment string        // of the claim URL; it is not sent
	key      string        // idempotency key
	body     requestBody
	rawBody  bool  // body is raw
	raw      bool  // accepts a raw answer
	limit    int64 // of the answer; 0: smallAnswerLimit
	sent     Progress
	received Progress

	// receive reads the body of a success; nil: the body is not wanted. If it returns an
	// *Error, the call fails with this error and is not tried again.
	receive func(*http.Response, *answerBody) error
}

// do makes a call and decodes its answer. The result includes the answer's header. The error
// is an *Error.
func do[Resp any](ctx context.Context, c *Client, r request) (*Resp, http.Header, error) {
	var out *Resp
	r.receive = func(_ *http.Response, body *answerBody) error {
		text, err := body.readAll()
		if err != nil {
			return err
		}
		out = new(Resp)
		return decode(text, out)
	}
	header, err := c.call(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	return out, header, nil
}

// call makes a call, with its attempts, and gives the answer's header. The client makes every
// request through it. The error is an *Error.
func (c *Client) call(ctx context.Context, r request) (http.Header, error) {
	delays := backoff.ExponentialBackOff{
		InitialInterval:     c.backoff,
		RandomizationFactor: 0.5,
		Multiplier:          2,
		MaxInterval:         maxBackoffs * c.backoff,
	}
	uncertain := false
	for n := 1; ; n++ {
		header, fail := c.attempt(ctx, r, n)
		if fail == nil {
			return header, nil
		}
		uncertain = uncertain || fail.Uncertain
		fail.Uncertain = uncertain
		if r.once || n > c.retries || !fail.retryable() {
			if n > 1 && fail.kind == ErrNetwork && fail.Status == 0 {
				fail.Message += fmt.Sprintf(" (tried %d times)", n)
			}
			return nil, fail
		}
		delay := min(delays.NextBackOff(), maxBackoffs*c.backoff)
		delay = max(delay, min(fail.RetryAfter, maxRetryAfter))
		if err := sleep(ctx, delay); err != nil {
			if fail.cause != nil {
				err = errors.Join(fail.cause, err)
			}
			fail.cause = err
			return nil, fail
		}
	}
}

// sleep waits for d. If the context ends earlier, it returns the context's error. If the
// deadline is earlier, it does so without waiting.
func sleep(ctx context.Context, d time.Duration) error {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return context.DeadlineExceeded
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mayHaveHappened reports whether the server may have carried out a request that failed
// with e. It can't have without a connection.
func mayHaveHappened(e *Error) bool {
	if op, ok := errors.AsType[*net.OpError](e.cause); ok && op.Op == "dial" {
		return false
	}
	return e.kind == ErrNetwork || e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout ||
		e.Status/100 == 2 // it was carried out, and only its answer can't be used
}

// attempt sends a request once, and follows redirects within its origin.
func (c *Client) attempt(parent context.Context, r request, n int) (_ http.Header, fail *Error) {
	start, status := time.Now(), 0
	defer func() { c.logAttempt(parent, r, n, status, time.Since(start), fail) }()

	if err := parent.Err(); err != nil {
		return nil, ended(err)
	}
	ctx, stall := newStallTimer(parent, c.timeout+r.wait)
	defer stall.stop()
	body := &sending{parts: r.body, stall: stall, report: r.sent}
	if r.sent != nil {
		r.sent(0, r.body.sourceSize())
	}
	// If a source fails, the call fails with its error, whatever the server answered to
	// the incomplete body.
	defer func() {
		if fault := body.stop(); fault != nil && fail != nil {
			fail = fault
		}
	}()

	resp, fail := c.roundTrip(ctx, r, body)
	if fail != nil {
		return nil, c.completeError(parent, ctx, r, fail)
	}
	defer resp.Body.Close()
	status = resp.StatusCode
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") || resp.Uncompressed {
		return nil, c.completeError(parent, ctx, r, badAnswer(status, errCompressed))
	}
	if status < 200 || status > 299 {
		return nil, c.completeError(parent, ctx, r, c.readError(resp, r, stall))
	}
	if r.receive == nil {
		return resp.Header, nil
	}
	err := r.receive(resp, newAnswerBody(resp, cmp.Or(r.limit, smallAnswerLimit), stall, r.received))
	if own, ok := errors.AsType[*Error](err); ok {
		return nil, own
	}
	if err != nil {
		return nil, c.completeError(parent, ctx, r, badAnswer(status, err))
	}
	return resp.Header, nil
}

// roundTrip sends one request. If it is a GET, it follows redirects within its origin.
func (c *Client) roundTrip(ctx context.Context, r request, body *sending) (*http.Response, *Error) {
	rt := c.plain
	if r.guarded {
		rt = c.guarded
	}
	req := c.newRequest(ctx, r, body)
	for hops := 0; ; hops++ {
		resp, err := rt.RoundTrip(req)
		if err != nil {
			return nil, &Error{Message: "no answer", kind: ErrNetwork, cause: err}
		}
		if resp.Body == nil {
			resp.Body = http.NoBody
		}
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
			http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return resp, nil
		}
		resp.Body.Close()
		next, err := req.URL.Parse(resp.Header.Get("Location"))
		if err != nil || resp.Header.Get("Location") == "" {
			return nil, &Error{Status: resp.StatusCode, Message: "a redirect that leads nowhere", permanent: true}
		}
		if o, err := origin.FromURL(next); err != nil || o != r.origin {
			return nil, &Error{Status: resp.StatusCode, Message: "a redirect to another origin, which is not followed", kind: ErrOrigin, permanent: true}
		}
		if r.method != http.MethodGet || hops == maxRedirects {
			return nil, &Error{Status: resp.StatusCode, Message: "a redirect that is not followed: this call has none, or too many", permanent: true}
		}
		next.Fragment, next.RawFragment = "", ""
		req = req.Clone(ctx)
		req.URL, req.Host = next, ""
	}
}

func (c *Client) newRequest(ctx context.Context, r request, body *sending) *http.Request {
	u := &url.URL{Scheme: r.origin.Scheme(), Host: r.origin.Host(), Path: r.path, RawQuery: r.query}
	req := (&http.Request{Method: r.method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Host: u.Host}).WithContext(ctx)
	if size := body.parts.size(); size != 0 {
		req.Body, req.ContentLength = body.reader(), size
		req.GetBody = func() (io.ReadCloser, error) { return body.reader(), nil }
		req.Header.Set("Content-Type", api.TypeJSON)
		if r.rawBody {
			req.Header.Set("Content-Type", api.TypeRaw)
		}
	}
	req.Header.Set("Accept", api.TypeJSON)
	if r.raw {
		req.Header.Set("Accept", api.TypeRaw+", "+api.TypeJSON)
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", c.userAgent)
	if r.key != "" {
		req.Header.Set(api.HeaderIdempotencyKey, r.key)
	}
	if r.wait > 0 {
		req.Header.Set(api.HeaderPrefer, "wait="+strconv.Itoa(int(r.wait/time.Second)))
		req.Header.Set(api.HeaderSeen, r.seen)
	}
	if r.producer && c.apiKey != "" {
		req.Header.Set("Authorization", "Bearer "+c.apiKey)
	}
	if slices.Contains(c.traced, r.origin) {
		traceOf(ctx).setHeaders(req.Header)
	}
	return req
}

// completeError sets Uncertain, adds the reason if it is on our side or in the network, and
// removes the call's secrets from the text.
func (c *Client) completeError(parent, ctx context.Context, r request, e *Error) *Error {
	e.Uncertain = r.method != http.MethodGet && mayHaveHappened(e)
	if err := parent.Err(); err != nil && e.retryable() {
		// This comes first: a relay in this process, whose context ends with ours,
		// answers that it is unavailable.
		end := ended(err)
		end.Uncertain = e.Uncertain || r.method != http.MethodGet && e.Status != 0
		return end
	}
	if e.kind != ErrNetwork {
		return e
	}
	if cause := context.Cause(ctx); cause != nil {
		e.cause = cause
	}
	if errors.Is(e.cause, dial.ErrAddress) {
		return refused("origin %s leads to a private or reserved address, which %q does not allow; if you trust it, allow it with --allow-origin %s or KUBBI_ALLOW_ORIGINS",
			r.origin, AnyOrigin, r.origin)
	}
	if e.cause == nil {
		return e
	}
	text := e.cause.Error()
	safe := clean(text, c.secrets(r))
	if safe != text {
		e.cause = errors.New(safe)
	}
	if e.Status == 0 {
		e.Message = fmt.Sprintf("no answer from %s: %s", r.origin, safe)
	}
	return e
}

// ended is the error for a call whose context has ended.
func ended(err error) *Error {
	return &Error{Message: "the call ended early: " + err.Error(), cause: err, permanent: true}
}

func (c *Client) secrets(r request) []string { return []string{r.token, r.key, c.apiKey} }

func (c *Client) logAttempt(ctx context.Context, r request, n, status int, took time.Duration, fail *Error) {
	if !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.method),
		slog.String("host", r.origin.Host()),
		slog.String("path", r.shape),
		slog.Int("status", status),
		slog.Duration("duration", took),
		slog.Int("attempt", n),
	}
	if id := TraceID(ctx); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	switch {
	case fail == nil:
	case api.Statuses[fail.Code] != 0:
		// The server's own text may quote what was sent.
		attrs = append(attrs, slog.String("error", string(fail.Code)))
	case fail.theirs:
		attrs = append(attrs, slog.String("error", "a code that this API does not have"))
	default:
		attrs = append(attrs, slog.String("error", fail.Error()))
	}
	c.log.LogAttrs(ctx, slog.LevelDebug, "kubbi request", attrs...)
}
