package kubbi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/kubbi/api"
)

// PayloadFile is where a claim writes a payload: an *os.File, or a type that encrypts what
// it writes. A claim first truncates it to 0 and then writes from the beginning.
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
	stream   bool // the caller gets the payload while it is received
}

// ClaimOption changes one claim.
type ClaimOption func(*claimConfig)

// HoldGrace makes the relay keep the payload until Claimed.Release or the end of the grace.
// It is for a caller that may still fail to save the payload.
func HoldGrace() ClaimOption { return func(c *claimConfig) { c.hold = true } }

// WithIdempotencyKey sets the claim's idempotency key, from NewIdempotencyKey. If a claim
// counted and its payload did not arrive, another claim with the same key gets the payload
// while the relay's grace lasts, and counts no second time.
func WithIdempotencyKey(key string) ClaimOption { return func(c *claimConfig) { c.key = key } }

// NewIdempotencyKey makes a random key.
func NewIdempotencyKey() string { return uuid.NewString() }

// WithProgress calls f with how much of the answer has been received.
func WithProgress(f Progress) ClaimOption { return func(c *claimConfig) { c.progress = f } }

// WithInspected passes the result of a recent Inspect to the claim, which then does not
// inspect the kubbi itself.
func WithInspected(seen *Inspected) ClaimOption { return func(c *claimConfig) { c.seen = seen } }

// ToFile writes the payload to a file while it is received, instead of keeping it in
// memory. The answer of a service that speaks only JSON is in memory for a while. A sealed
// payload is written as it is received. The claim decrypts it once to check it; after that
// it is decrypted whenever a part is read.
//
// The claim calls open once for each attempt that needs the file, and writes the file from
// its beginning. It does not sync the file. The caller closes the file.
func ToFile(open func() (PayloadFile, error)) ClaimOption {
	return func(c *claimConfig) { c.file = open }
}

// Within is for a payload that is expected to be small. The limit applies to the bytes
// that arrive, whatever size the service announced. An answer of at most limit bytes is
// kept in memory. A larger answer goes to the file of ToFile. Without a file it is an error
// with Uncertain set.
//
// With ToFile, an answer in JSON that is larger than limit and than 8 MiB is kept as it is:
// it becomes the only part, with the name AnswerName, and a sealed payload stays sealed.
func Within(limit int64) ClaimOption { return func(c *claimConfig) { c.within = &limit } }

// AnswerName is the name of a part that is a whole answer in JSON: see Within.
const AnswerName = "answer.json"

// Limits for graces.
const (
	maxGrace       = time.Hour // a server may announce more
	releaseTimeout = 5 * time.Second
)

// Claim retrieves a payload through its claim URL or bare token. It counts as a retrieval,
// and the last allowed retrieval wipes the payload. It needs no API key. The payload is in
// memory unless the option ToFile is given.
//
// Claim inspects the kubbi first. It opens a sealed payload with the key in the claim URL.
// If the key is missing, belongs to another kubbi, or the kubbi is not sealed, the error
// matches ErrSealed and no retrieval is counted.
//
// The errors are those of Inspect. If a claimed payload can't be opened, the error matches
// ErrSealed and has Uncertain set. After an error that matches ErrNetwork or has Uncertain
// set, the payload may be used up. A claim with the same idempotency key may still get it.
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
	request, end request // end ends the grace
	opener       *opener
	key          *sealKey // nil: not sealed, or known only with the answer
	memory       int64    // the largest payload that is kept in memory; -1: none
}

// newClaim prepares a claim. It makes all checks that are possible before the claim counts.
func (c *Client) newClaim(ctx context.Context, urlOrToken string, opts []ClaimOption) (*claim, error) {
	k := &claim{client: c}
	for _, opt := range opts {
		opt(&k.config)
	}
	r, err := c.target(urlOrToken)
	if err != nil {
		return nil, err
	}
	if k.opener, k.key, err = c.openerOf(ctx, r, k.config.seen); err != nil {
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
	switch within, toFile := k.config.within, k.config.file != nil; {
	case within != nil && toFile:
		k.memory = min(*within, c.memoryLimit)
		k.request.limit = max(k.memory, c.fileLimit)
		return k, nil
	case within != nil:
		k.memory = min(*within, c.memoryLimit)
		k.request.limit = k.memory
		return k, nil
	case toFile:
		k.memory, k.request.limit = -1, c.fileLimit
	case k.config.stream:
		k.memory, k.request.limit = c.memoryLimit, c.fileLimit
	default:
		k.memory, k.request.limit = c.memoryLimit, c.memoryLimit
	}
	return k, k.checkSize(ctx)
}

// checkSize refuses a payload that is known to be too large, before the claim counts. A raw
// answer has the limit of the request; an answer in JSON must fit into memory.
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
	return invalid("the kubbi has %d bytes, but at most %d can be received from this service; nothing was claimed", size, limit)
}

// sizeOf is how many bytes a kubbi has; 0: unknown.
func sizeOf(seen *Inspected) int64 {
	if seen.TotalSizeBytes != nil {
		return *seen.TotalSizeBytes
	}
	return seen.PayloadSize
}

// settle ends the grace in the background, unless the caller holds it.
func (k *claim) settle(ctx context.Context, got *Claimed) {
	if !k.config.hold && got.release != nil {
		got.ReleaseSoon(ctx)
		got.Grace, got.release = 0, nil
	}
}

// grace reads how long the relay keeps the payload, and makes the function that ends this.
func (k *claim) grace(header http.Header) (time.Duration, func(context.Context) error) {
	n, err := strconv.ParseUint(header.Get(api.HeaderClaimGrace), 10, 31)
	if err != nil || n == 0 {
		return 0, nil
	}
	return min(time.Duration(n)*time.Second, maxGrace), func(ctx context.Context) error {
		_, err := k.client.call(ctx, k.end)
		return err
	}
}

// remaining reads HeaderRemainingReads. A burned kubbi has no retrievals left, even if the
// server does not send that header. known is false if the number is unknown.
func remaining(s string, burned bool) (left *int, known bool) {
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
