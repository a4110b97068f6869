package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// createRequest is POST /api/v1/kubbis. Its body is not read yet.
type createRequest struct {
	*http.Request
	by             *store.APIKey
	idempotencyKey string // empty: none
}

func (rl *Relay) readCreate(h http.Header, r *http.Request) (req createRequest, err error) {
	req.Request = r
	if req.by, err = rl.creator(h, r); err != nil {
		return req, err
	}
	req.idempotencyKey, err = rl.idempotencyKey(r)
	return req, err
}

// maxTries is how often a create is tried, each time with another number. A process that
// creates a kubbi within the same 250 ns may draw the same number.
const maxTries = 8

// create makes a kubbi. A repeated create, recognised by its Idempotency-Key, gets the first
// answer again, unchanged.
func (rl *Relay) create(ctx context.Context, _ http.Header, req createRequest) (resp api.CreateResponse, err error) {
	c, replay, err := rl.produce(ctx, req, req.by.Owner, rl.readDraft)
	switch {
	case err != nil:
		return resp, err
	case replay != nil:
		return rl.createdBefore(ctx, req.idempotencyKey, replay)
	}
	return rl.createResponse(c.kubbi, c.draft.metadata, c.token), nil
}

// produce reads the body of a create, or of a request, and stores it for an owner. If the same
// was stored before, it returns the replay.
func (rl *Relay) produce(ctx context.Context, req createRequest, owner string,
	read func(*http.Request, limits, hash.Hash, *reservation) (*draft, error)) (*creation, *store.Replay, error) {
	if err := rl.reserveStorage(ctx, 0); err != nil {
		return nil, nil, err
	}
	held := rl.bodies.reserve()
	defer held.free()
	key, request := rl.createKey(req.idempotencyKey, owner)
	d, err := read(req.Request, rl.limitsOf(req.by), request, held)
	if err != nil {
		return nil, nil, err
	}
	defer d.close()
	if err := rl.reserveStorage(ctx, d.size); err != nil {
		return nil, nil, err
	}
	c := &creation{
		rl: rl, owner: owner, quota: req.by.Quota, draft: d,
		idempotencyKey: req.idempotencyKey, apiKey: bearer(req.Request), key: key, request: request,
	}
	replay, err := c.store(ctx)
	return c, replay, quotaError(err, req.by, c.now)
}

// creation stores a draft as a new kubbi, or as a request.
type creation struct {
	rl             *Relay
	owner          string
	quota          store.Quota
	draft          *draft
	idempotencyKey string           // seals the answer to a repetition; empty: there is nothing to seal
	apiKey         string           // signs receipts
	key            *store.CreateKey // nil: not idempotent
	request        hash.Hash        // of the body as far as it was read

	// Of the last attempt.
	now   time.Time
	kubbi *store.Kubbi
	token token
}

// store stores the draft. It is tried with several numbers, because another process may be
// using one.
func (c *creation) store(ctx context.Context) (*store.Replay, error) {
	for try := range maxTries {
		c.now = c.rl.now()
		number, err := c.number(try)
		if err != nil {
			return nil, err
		}
		if c.token, err = c.rl.newClaimToken(number); err != nil {
			return nil, err
		}
		c.token.ofRequest = c.draft.ask != nil
		id, err := number.ID(c.rl.cfg.Rand)
		if err != nil {
			return nil, err
		}
		replay, err := c.storeAs(ctx, id)
		switch {
		case !errors.Is(err, store.ErrExists):
			return replay, err
		case c.draft.stream != nil:
			return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
	}
	return nil, fmt.Errorf("%w: every number that was tried is in use", store.ErrUnavailable)
}

// storeAs stores the draft under an id, with the token that belongs to it.
func (c *creation) storeAs(ctx context.Context, id string) (*store.Replay, error) {
	payload, err := c.seal(id)
	if err != nil {
		return nil, err
	}
	return c.rl.cfg.Store.Create(ctx, c.kubbi, payload, c.key, c.quota, c.now)
}

// number makes the number of the kubbi. After the first try it is some milliseconds ahead of
// the time, because another process may be using the numbers that follow.
func (c *creation) number(try int) (store.Number, error) {
	at := c.now
	if try > 0 {
		var b [2]byte
		if _, err := io.ReadFull(c.rl.cfg.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("make number: %w", err)
		}
		at = at.Add(time.Duration(try) * time.Duration(binary.BigEndian.Uint16(b[:])) * 100)
	}
	return c.rl.numbers.Next(at, c.rl.cfg.Rand)
}

// seal makes the kubbi, and returns its sealed payload.
func (c *creation) seal(id string) (payload io.Reader, err error) {
	rl, d := c.rl, c.draft
	ring := rl.cfg.Keyring.Current()
	k := &store.Kubbi{
		ID: id, Owner: c.owner, Token: c.token.key(), MasterKey: ring.Sealing(c.now),
		Package: d.files != nil, ContentType: d.contentType, FileCount: len(d.files), Size: d.size,
		MaxRetrievals: d.maxRetrievals, CreatedAt: c.now, ExpiresAt: c.now.Add(d.ttl),
	}
	c.kubbi = k
	if _, err := io.ReadFull(rl.cfg.Rand, k.Secret[:]); err != nil {
		return nil, fmt.Errorf("make secret: %w", err)
	}
	r := record{Metadata: d.metadata, Files: d.files, AnswerTo: d.answerTo}
	if d.ask != nil {
		if r.Ask, err = rl.sealReply(ring, k, c.token, *d.ask); err != nil {
			return nil, err
		}
	}
	if k.Record, err = rl.sealRecord(ring, k, r); err != nil {
		return nil, err
	}
	if d.notify != nil {
		if k.Notify, err = rl.sealTarget(ring, k, d.notify, c.apiKey); err != nil {
			return nil, err
		}
	}
	if c.key != nil && c.idempotencyKey != "" {
		if c.key.Answer, err = rl.sealAnswer(ring, c.idempotencyKey, k, c.token); err != nil {
			return nil, err
		}
	}
	return c.payload(ring)
}

// payload gives the sealed payload. The hash of the request is set when it ends.
func (c *creation) payload(ring *atrest.Keyring) (io.Reader, error) {
	key, binding, err := payloadKey(ring, c.kubbi, c.token)
	if err != nil {
		return nil, err
	}
	plain := c.draft.payload()
	if c.key != nil {
		hashed := func() { c.request.Sum(c.key.Request[:0]) }
		if c.draft.stream == nil {
			hashed()
		} else {
			plain = &endReader{plain, hashed}
		}
	}
	return key.Seal(c.rl.cfg.Rand, binding, plain)
}

// endReader calls a function before it returns io.EOF.
type endReader struct {
	io.Reader
	ended func()
}

func (r *endReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		r.ended()
	}
	return n, err
}

// createdBefore answers a repeated create.
func (rl *Relay) createdBefore(ctx context.Context, idempotencyKey string, p *store.Replay) (resp api.CreateResponse, err error) {
	if err := rl.checkWiped(ctx, p); err != nil {
		return resp, err
	}
	o, err := open(rl.keyringWith(ctx, p.MasterKey), &p.Kubbi)
	if err != nil {
		return resp, err
	}
	t, err := openAnswer(o, idempotencyKey, p.Answer)
	if err != nil {
		return resp, err
	}
	return rl.createResponse(&p.Kubbi, o.Metadata, t), nil
}

// checkWiped returns an error that says how the kubbi of a replay has ended, if it is wiped: then
// its claim token can't be recovered.
func (rl *Relay) checkWiped(ctx context.Context, p *store.Replay) error {
	if p.Secret != (store.Secret{}) {
		return nil
	}
	k, err := rl.cfg.Store.Get(ctx, p.Owner, p.ID, rl.now())
	if err == nil {
		err = k.Status.Err()
	}
	if err == nil {
		err = damaged(&p.Kubbi, "its secret is missing")
	}
	return err
}

func (rl *Relay) createResponse(k *store.Kubbi, metadata []byte, t token) api.CreateResponse {
	count, size := packageOf(k)
	return api.CreateResponse{
		ID: k.ID, ClaimURL: rl.claimURL(t.text), ClaimToken: t.text, Status: statusOf(k),
		ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size,
		MaxRetrievals: optional(k.MaxRetrievals), Metadata: metadata,
		CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}
}
