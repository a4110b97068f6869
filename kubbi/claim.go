package kubbi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// Claimed is a payload. It is somebody else's data, never instructions.
type Claimed struct {
	api.ClaimResponse

	// Remaining is how many retrievals are left; nil: unlimited, or unknown.
	Remaining *int `json:"-"`
	// RemainingKnown is false where the server did not say.
	RemainingKnown bool `json:"-"`

	// Grace is for how long the relay, told so by HoldGrace, keeps the payload
	// for this call; 0: not at all.
	Grace time.Duration `json:"-"`

	release func(context.Context) error // nil: nothing to release
	client  *Client
}

// Text gives a single content of a text type as a string. For JSON that is not
// a string it gives the JSON itself.
func (c *Claimed) Text() string { return textOf(c.Content) }

func textOf(content []byte) string {
	var s string
	if jsontext.Value(content).Kind() != '"' || jsonv2.Unmarshal(content, &s) != nil {
		return string(content)
	}
	return s
}

// Decode reads a single content of type application/json into v, by the rules
// of go-json-experiment/json (encoding/json/v2).
func (c *Claimed) Decode(v any) error { return jsonv2.Unmarshal(c.Content, v) }

// Release tells the relay, after a claim with HoldGrace, that the payload is
// safe and need not be kept. There is nothing to release where Grace is 0.
func (c *Claimed) Release(ctx context.Context) error {
	if c.release == nil {
		return nil
	}
	return c.release(ctx)
}

// ReleaseSoon is Release without waiting for it: Client.Close does. Should it
// fail, the grace ends by itself.
func (c *Claimed) ReleaseSoon(ctx context.Context) {
	if c.release != nil {
		c.client.releaseSoon(ctx, c.release)
	}
}

func (c *Client) releaseSoon(ctx context.Context, release func(context.Context) error) {
	started := c.releases.background(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		_ = release(ctx) // logged by do, at debug level
	})
	if !started {
		c.log.LogAttrs(ctx, slog.LevelDebug, "grace left to end by itself")
	}
}

type claimConfig struct {
	hold     bool
	key      string
	progress Progress
	seen     *Inspected
}

// ClaimOption changes one claim.
type ClaimOption func(*claimConfig)

// HoldGrace leaves the payload with the relay until Claimed.Release or the end
// of the grace: for a caller whose own hold on it may still fail.
func HoldGrace() ClaimOption { return func(c *claimConfig) { c.hold = true } }

// WithKey makes a claim under an idempotency key of the caller's, from NewKey.
// Under the key of a claim that counted but whose payload did not arrive, a relay
// gives that payload, for as long as its grace lasts; it counts once.
func WithKey(key string) ClaimOption { return func(c *claimConfig) { c.key = key } }

// WithProgress has f told how much of the answer has been received.
func WithProgress(f Progress) ClaimOption { return func(c *claimConfig) { c.progress = f } }

// WithInspected spares the claim its own look at the kubbi, which the caller has
// just had.
func WithInspected(seen *Inspected) ClaimOption { return func(c *claimConfig) { c.seen = seen } }

// Bounds of ending a grace.
const (
	maxGrace       = time.Hour // of what a server may say
	releaseTimeout = 5 * time.Second
)

// Claim retrieves a payload through its claim URL or bare token; it counts,
// and the last retrieval allowed wipes the payload. It needs no API key.
//
// It looks first, with an inspect. What is sealed is opened with the key in the
// claim URL, and ErrSealed says before anything is spent that the key is missing
// or does not belong to it, or that it is not sealed though there is a key.
//
// Errors are those of Inspect, and ErrSealed, with Uncertain set, where what was
// claimed can't be opened; after one that matches ErrNetwork, or has Uncertain set,
// the payload may be used up.
func (c *Client) Claim(ctx context.Context, urlOrToken string, opts ...ClaimOption) (*Claimed, error) {
	k, err := c.claiming(ctx, urlOrToken, opts)
	if err != nil {
		return nil, err
	}
	if err := k.fits(ctx, c.answerLimit); err != nil {
		return nil, err
	}
	var out *Claimed
	k.claim.limit, k.claim.receive = c.answerLimit, func(resp *http.Response, body io.Reader) error {
		a, err := k.read(resp, body)
		if err == nil {
			out, err = k.inMemory(resp, a)
		}
		return err
	}
	if _, _, err := do[nothing](ctx, c, k.claim); err != nil {
		return nil, err
	}
	k.arrived(ctx, &out.Grace, &out.release)
	return out, nil
}

// arrived ends the grace, unless the caller holds it. The caller need not wait for the
// relay to write that down; if this fails, the grace ends by itself.
func (k *claiming) arrived(ctx context.Context, grace *time.Duration, release *func(context.Context) error) {
	if k.hold || *release == nil {
		return
	}
	k.client.releaseSoon(ctx, *release)
	*grace, *release = 0, nil
}

// arriving is a claim's answer: raw and still to be read, or JSON in memory.
type arriving struct {
	raw  *rawPayload
	json *api.ClaimResponse
	size int64 // in bytes
}

// read reads the head of an answer, or all of it.
func (k *claiming) read(resp *http.Response, body io.Reader) (*arriving, error) {
	const small = 32 << 10 // is read at once
	if isRaw(resp.Header.Get("Content-Type")) {
		if n := resp.ContentLength; n >= 0 && n <= small {
			b, err := readAll(body, n, k.claim.limit)
			if err != nil {
				return nil, err
			}
			body = bytes.NewReader(b)
		}
		p, err := readRaw(body, k.claim.limit)
		if err != nil {
			return nil, err
		}
		return &arriving{raw: p, size: p.size}, nil
	}
	b, err := readAll(body, resp.ContentLength, min(k.claim.limit, k.client.answerLimit))
	if err != nil {
		return nil, err
	}
	answer := new(api.ClaimResponse)
	if err := decode(b, answer); err != nil {
		return nil, err
	}
	if answer.Content == nil && answer.Files == nil {
		return nil, noPayload()
	}
	cutClaim(answer)
	return &arriving{json: answer, size: int64(len(b))}, nil
}

// inMemory reads what is left of an answer, and opens it.
func (k *claiming) inMemory(resp *http.Response, a *arriving) (*Claimed, error) {
	answer := a.json
	if a.raw != nil {
		var err error
		if answer, err = a.raw.inMemory(); err != nil {
			return nil, err
		}
	}
	if err := openClaim(k.unsealing, answer); err != nil {
		return nil, err
	}
	out := &Claimed{ClaimResponse: *answer, client: k.client}
	out.Remaining, out.RemainingKnown = remaining(resp.Header.Get(api.HeaderRemainingReads), answer.Burned)
	out.Grace, out.release = k.grace(resp.Header)
	return out, nil
}

// Spooled gives the payload in parts, which stand in memory.
func (c *Claimed) Spooled() (*Spooled, error) {
	out, err := inParts(&c.ClaimResponse)
	if err != nil {
		return nil, errors.New("a file is not base64, though it says so")
	}
	out.Remaining, out.RemainingKnown, out.Grace, out.release, out.client = c.Remaining, c.RemainingKnown, c.Grace, c.release, c.client
	return out, nil
}

// claiming is a claim that is about to be made.
type claiming struct {
	client     *Client
	hold       bool
	seen       *Inspected // nil: the caller has not looked
	claim, end request    // end ends the grace
	unsealing  *sealKey
}

// claiming finds all that may be wrong before a claim counts.
func (c *Client) claiming(ctx context.Context, urlOrToken string, opts []ClaimOption) (*claiming, error) {
	var cfg claimConfig
	for _, opt := range opts {
		opt(&cfg)
	}
	r, err := c.target(urlOrToken)
	if err != nil {
		return nil, err
	}
	k := &claiming{client: c, hold: cfg.hold, seen: cfg.seen}
	if k.unsealing, err = c.sealedKey(ctx, urlOrToken, cfg.seen); err != nil {
		return nil, err
	}
	r.path += api.SuffixClaim
	r.shape = api.PathClaim + ":token" + api.SuffixClaim
	if r.key = cfg.key; r.key == "" {
		if r.key, err = NewKey(); err != nil {
			return nil, err
		}
	}
	k.claim, k.end = r, r
	k.claim.method, k.end.method, k.end.once = http.MethodPost, http.MethodDelete, true
	k.claim.received, k.claim.raw = cfg.progress, true
	return k, nil
}

// fits refuses, while it costs nothing, a payload that is known to be larger than what
// can be read of it: limit, if the service gives it raw, and what may stand in memory.
func (k *claiming) fits(ctx context.Context, limit int64) error {
	if k.seen == nil || sizeOf(k.seen) <= k.client.answerLimit {
		return nil
	}
	size := sizeOf(k.seen)
	if size <= limit {
		raw, err := k.client.givesRaw(ctx, k.claim.origin, k.claim.guarded)
		if raw || err != nil {
			return err
		}
		limit = k.client.answerLimit
	}
	return invalid("the kubbi has %d bytes, and of what this service gives at most %d can be received here; nothing was claimed", size, limit)
}

// grace reads for how long the payload is kept, and how to end that.
func (k *claiming) grace(header http.Header) (time.Duration, func(context.Context) error) {
	n, err := strconv.ParseUint(header.Get(api.HeaderClaimGrace), 10, 31)
	if err != nil || n == 0 {
		return 0, nil
	}
	return min(time.Duration(n)*time.Second, maxGrace), func(ctx context.Context) error {
		_, _, err := do[nothing](ctx, k.client, k.end)
		return err
	}
}

// noPayload is the error of a claim that counted and gave nothing.
func noPayload() *Error {
	e := incomplete("content and files")
	e.Uncertain = true
	return e
}

// remaining reads HeaderRemainingReads. A burned kubbi has none left, whether
// or not the server has that header.
func remaining(s string, burned bool) (*int, bool) {
	if burned {
		return new(int), true
	}
	if s == api.Unlimited {
		return nil, true
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return nil, false
	}
	left := int(n)
	return &left, true
}

// sizeOf is how many bytes a kubbi has, 0 where that is not known.
func sizeOf(seen *Inspected) int64 {
	if seen.TotalSizeBytes != nil {
		return *seen.TotalSizeBytes
	}
	return seen.PayloadSize
}
