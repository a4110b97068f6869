package kubbi

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
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
func (c *Claimed) Text() string {
	var s string
	if jsontext.Value(c.Content).Kind() != '"' || jsonv2.Unmarshal(c.Content, &s) != nil {
		return string(c.Content)
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
	k.claim.limit = c.answerLimit
	resp, header, err := do[api.ClaimResponse](ctx, c, k.claim)
	if err != nil {
		return nil, err
	}
	return k.claimed(ctx, resp, header)
}

// claimed makes a payload of an answer that stands in memory.
func (k *claiming) claimed(ctx context.Context, resp *api.ClaimResponse, header http.Header) (*Claimed, error) {
	if resp.Content == nil && resp.Files == nil {
		return nil, noPayload()
	}
	if err := openClaim(k.unsealing, resp); err != nil {
		return nil, err
	}
	cutClaim(resp)
	out := &Claimed{ClaimResponse: *resp, client: k.client}
	out.Remaining, out.RemainingKnown = remaining(header.Get(api.HeaderRemainingReads), resp.Burned)
	out.Grace, out.release = k.grace(ctx, header)
	return out, nil
}

// Spooled gives the payload in parts, which stand in memory.
func (c *Claimed) Spooled() (*Spooled, error) {
	out := &Spooled{ClaimResponse: c.ClaimResponse, Remaining: c.Remaining, RemainingKnown: c.RemainingKnown, Grace: c.Grace, release: c.release, client: c.client}
	out.Content = nil
	if c.Files == nil {
		data := []byte(c.Content)
		if c.ContentType != api.TypeJSON {
			data = []byte(c.Text())
		}
		out.Parts = []Part{partInMemory("", c.ContentType, nil, data)}
		return out, nil
	}
	out.Files = slices.Clone(c.Files)
	for i, f := range c.Files {
		data := []byte(f.Content)
		if f.Encoding != "" {
			var err error
			if data, err = base64.StdEncoding.DecodeString(f.Content); err != nil {
				return nil, fmt.Errorf("file %d is not base64", i+1)
			}
		}
		out.Files[i].Content = ""
		out.Parts = append(out.Parts, partInMemory(f.Name, f.ContentType, f.Role, data))
	}
	return out, nil
}

// claiming is a claim that is about to be made.
type claiming struct {
	client     *Client
	hold       bool
	claim, end request // end ends the grace
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
	k := &claiming{client: c, hold: cfg.hold}
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
	k.claim.received = cfg.progress
	return k, nil
}

// grace reads for how long the payload is kept, and how to end that. Unless the
// caller holds it, it is ended here.
func (k *claiming) grace(ctx context.Context, header http.Header) (time.Duration, func(context.Context) error) {
	n, err := strconv.ParseUint(header.Get(api.HeaderClaimGrace), 10, 31)
	if err != nil || n == 0 {
		return 0, nil
	}
	release := func(ctx context.Context) error {
		_, _, err := do[nothing](ctx, k.client, k.end)
		return err
	}
	if k.hold {
		return min(time.Duration(n)*time.Second, maxGrace), release
	}
	// The payload is whole and decoded. The caller need not wait for the relay
	// to write that down; if this fails, the grace ends by itself.
	k.client.releaseSoon(ctx, release)
	return 0, nil
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
