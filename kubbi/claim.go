package kubbi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/kubbi/api"
)

// PayloadFile is where a claim writes a payload: an *os.File, or what encrypts on the
// way to one. It is truncated to 0 before it is written from the beginning.
type PayloadFile interface {
	Write(p []byte) (int, error)
	ReadAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
}

type claimConfig struct {
	hold     bool
	key      string
	progress Progress
	seen     *Inspected
	file     func() (PayloadFile, error)
	within   *int64
	stream   bool // the payload is given to the caller while it comes
}

// ClaimOption changes one claim.
type ClaimOption func(*claimConfig)

// HoldGrace leaves the payload with the relay until Claimed.Release or the end of the
// grace. It is for a caller that may still fail to keep the payload.
func HoldGrace() ClaimOption { return func(c *claimConfig) { c.hold = true } }

// WithIdempotencyKey makes a claim under a key of the caller's, from NewIdempotencyKey.
// If a claim counted and its payload did not arrive, a claim with the same key gets the
// payload for as long as the relay's grace lasts, and counts once.
func WithIdempotencyKey(key string) ClaimOption { return func(c *claimConfig) { c.key = key } }

// NewIdempotencyKey makes a random key.
func NewIdempotencyKey() string { return uuid.NewString() }

// WithProgress calls f with how much of the answer has been received.
func WithProgress(f Progress) ClaimOption { return func(c *claimConfig) { c.progress = f } }

// WithInspected gives what Inspect has just said of the kubbi, so that the claim need
// not inspect it itself.
func WithInspected(seen *Inspected) ClaimOption { return func(c *claimConfig) { c.seen = seen } }

// ToFile writes the payload to a file while it is received, so that it need not be in
// memory; the answer of a service that speaks JSON only is in memory for a while. A
// sealed payload is written as it comes. It is opened once to see that it is whole, and
// then whenever a part is read.
//
// open is called once for each attempt that needs the file, which is then written from
// its beginning. It is not synced. The caller closes it.
func ToFile(open func() (PayloadFile, error)) ClaimOption {
	return func(c *claimConfig) { c.file = open }
}

// Within is for a payload that is expected to be small. What arrives is counted,
// whatever the service said before. An answer of at most limit bytes is in memory. A
// larger one goes to the file of ToFile, or is an error with Uncertain set if there is
// no file.
//
// With ToFile, an answer in JSON of more than limit and 8 MiB is kept as it is: it is the
// only part, with the name AnswerName, and a sealed payload is not opened then.
func Within(limit int64) ClaimOption { return func(c *claimConfig) { c.within = &limit } }

// AnswerName is the name of the only part of a payload that is an answer in JSON: see
// Within.
const AnswerName = "answer.json"

// Bounds of ending a grace.
const (
	maxGrace       = time.Hour // of what a server may say
	releaseTimeout = 5 * time.Second
)

// Claim retrieves a payload through its claim URL or bare token. It counts, and the last
// retrieval allowed wipes the payload. It needs no API key. The payload is in memory,
// unless ToFile says otherwise.
//
// Claim inspects first. It opens a sealed payload with the key in the claim URL. If the
// key is missing or does not belong to the kubbi, or the kubbi is not sealed though there
// is a key, the error matches ErrSealed and nothing is spent.
//
// Errors are those of Inspect, and ErrSealed with Uncertain set if a claimed payload
// can't be opened. After an error that matches ErrNetwork, or has Uncertain set, the
// payload may be used up. A claim with the same key may get it again.
func (c *Client) Claim(ctx context.Context, urlOrToken string, opts ...ClaimOption) (*Claimed, error) {
	k, err := c.newClaim(ctx, urlOrToken, opts)
	if err != nil {
		return nil, err
	}
	var out *Claimed
	err = k.do(ctx, func(a *arrival) (err error) {
		out, err = k.place(a)
		return err
	})
	if err != nil {
		return nil, err
	}
	k.settle(ctx, out)
	return out, nil
}

// claim is a claim that is about to be made.
type claim struct {
	client       *Client
	config       claimConfig
	request, end request  // end ends the grace
	key          *sealKey // nil: not sealed
	memory       int64    // the largest payload that is kept in memory; -1: none
}

// newClaim finds all that may be wrong before a claim counts.
func (c *Client) newClaim(ctx context.Context, urlOrToken string, opts []ClaimOption) (*claim, error) {
	k := &claim{client: c}
	for _, opt := range opts {
		opt(&k.config)
	}
	r, err := c.target(urlOrToken)
	if err != nil {
		return nil, err
	}
	if k.key, err = c.sealKeyFor(ctx, urlOrToken, k.config.seen); err != nil {
		return nil, err
	}
	r.path += api.SuffixClaim
	r.shape = api.PathClaim + ":token" + api.SuffixClaim
	if r.key = k.config.key; r.key == "" {
		r.key = NewIdempotencyKey()
	}
	k.request, k.end = r, r
	k.request.method, k.end.method, k.end.once = http.MethodPost, http.MethodDelete, true
	k.request.received, k.request.raw = k.config.progress, true
	k.memory, k.request.limit = c.memoryLimit, c.memoryLimit
	if k.config.file != nil {
		k.memory = -1
	}
	if k.config.file != nil || k.config.stream {
		k.request.limit = c.fileLimit
	}
	if k.config.within != nil {
		k.memory = min(*k.config.within, c.memoryLimit)
		k.request.limit = k.memory
		if k.config.file != nil {
			k.request.limit = max(k.memory, c.fileLimit)
		}
		return k, nil
	}
	return k, k.checkSize(ctx)
}

// checkSize refuses, while it costs nothing, a payload that is known to be too large: a
// raw answer has the limit of the request, one in JSON is in memory.
func (k *claim) checkSize(ctx context.Context) error {
	seen, limit := k.config.seen, k.request.limit
	if seen == nil || sizeOf(seen) <= k.client.memoryLimit {
		return nil
	}
	size := sizeOf(seen)
	if size <= limit {
		raw, err := k.client.givesRaw(ctx, k.request.origin, k.request.guarded)
		if raw || err != nil {
			return err
		}
		limit = k.client.memoryLimit
	}
	return invalid("the kubbi has %d bytes, and of what this service gives at most %d can be received here; nothing was claimed", size, limit)
}

// sizeOf is how many bytes a kubbi has, 0 where that is not known.
func sizeOf(seen *Inspected) int64 {
	if seen.TotalSizeBytes != nil {
		return *seen.TotalSizeBytes
	}
	return seen.PayloadSize
}

// settle ends the grace, unless the caller holds it. The caller need not wait for the
// relay to write that down.
func (k *claim) settle(ctx context.Context, got *Claimed) {
	if !k.config.hold && got.release != nil {
		got.ReleaseSoon(ctx)
		got.Grace, got.release = 0, nil
	}
}

// grace reads for how long the payload is kept, and how to end that.
func (k *claim) grace(header http.Header) (time.Duration, func(context.Context) error) {
	n, err := strconv.ParseUint(header.Get(api.HeaderClaimGrace), 10, 31)
	if err != nil || n == 0 {
		return 0, nil
	}
	return min(time.Duration(n)*time.Second, maxGrace), func(ctx context.Context) error {
		_, _, err := do[nothing](ctx, k.client, k.end)
		return err
	}
}

// remaining reads HeaderRemainingReads. A burned kubbi has no retrievals left, whether or
// not the server has that header.
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
	return new(int(n)), true
}
