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
	if req.by, err = rl.producer(h, r); err != nil {
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
	if err := rl.reserveStorage(ctx, 0); err != nil {
		return resp, err
	}
	held := rl.bodies.reserve()
	defer held.free()
	key, request := rl.createKey(req.idempotencyKey, req.by.Owner)
	d, err := rl.readDraft(req.Request, rl.limitsOf(req.by), request, held)
	if err != nil {
		return resp, err
	}
	defer d.close()
	if err := rl.reserveStorage(ctx, d.size); err != nil {
		return resp, err
	}
	for try := range maxTries {
		a := attempt{rl: rl, req: req, draft: d, key: key, request: request, now: rl.now()}
		payload, err := a.seal(try)
		if err != nil {
			return resp, err
		}
		replay, err := rl.cfg.Store.Create(ctx, a.kubbi, payload, key, req.by.Quota, a.now)
		switch {
		case errors.Is(err, store.ErrExists) && d.stream == nil:
			continue
		case errors.Is(err, store.ErrExists):
			return resp, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		case err != nil:
			return resp, quotaError(err, req.by, a.now)
		case replay != nil:
			return rl.createdBefore(ctx, req.idempotencyKey, replay)
		}
		return rl.createResponse(a.kubbi, d.metadata, a.token), nil
	}
	return resp, fmt.Errorf("%w: every number that was tried is in use", store.ErrUnavailable)
}

// attempt is one attempt at a create.
type attempt struct {
	rl      *Relay
	req     createRequest
	draft   *draft
	key     *store.CreateKey // nil: not idempotent
	request hash.Hash        // of the body as far as it was read
	now     time.Time

	kubbi *store.Kubbi
	token token
}

// number makes the number of the kubbi. After the first try it is some milliseconds ahead of
// the time, because another process may be using the numbers that follow.
func (a *attempt) number(try int) (store.Number, error) {
	at := a.now
	if try > 0 {
		var b [2]byte
		if _, err := io.ReadFull(a.rl.cfg.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("make number: %w", err)
		}
		at = at.Add(time.Duration(try) * time.Duration(binary.BigEndian.Uint16(b[:])) * 100)
	}
	return a.rl.numbers.Next(at, a.rl.cfg.Rand)
}

// seal makes the kubbi and its token, and returns its sealed payload.
func (a *attempt) seal(try int) (payload io.Reader, err error) {
	rl, d := a.rl, a.draft
	number, err := a.number(try)
	if err != nil {
		return nil, err
	}
	if a.token, err = rl.newClaimToken(number); err != nil {
		return nil, err
	}
	ring := rl.cfg.Keyring.Current()
	k := &store.Kubbi{
		Owner: a.req.by.Owner, Token: a.token.key(), MasterKey: ring.Sealing(a.now),
		Package: d.files != nil, ContentType: d.contentType, FileCount: len(d.files), Size: d.size,
		MaxRetrievals: d.maxRetrievals, CreatedAt: a.now, ExpiresAt: a.now.Add(d.ttl),
	}
	a.kubbi = k
	if k.ID, err = number.ID(rl.cfg.Rand); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(rl.cfg.Rand, k.Secret[:]); err != nil {
		return nil, fmt.Errorf("make secret: %w", err)
	}
	if k.Record, err = rl.sealRecord(ring, k, record{Metadata: d.metadata, Files: d.files}); err != nil {
		return nil, err
	}
	if d.notify != nil {
		if k.Notify, err = rl.sealTarget(ring, k, d.notify, bearer(a.req.Request)); err != nil {
			return nil, err
		}
	}
	if a.key != nil {
		if a.key.Answer, err = rl.sealAnswer(ring, a.req.idempotencyKey, k, a.token); err != nil {
			return nil, err
		}
	}
	return a.payload(ring)
}

// payload gives the sealed payload. The hash of the request is set when it ends.
func (a *attempt) payload(ring *atrest.Keyring) (io.Reader, error) {
	key, binding, err := payloadKey(ring, a.kubbi, a.token)
	if err != nil {
		return nil, err
	}
	plain := a.draft.payload()
	if a.key != nil {
		hashed := func() { a.request.Sum(a.key.Request[:0]) }
		if a.draft.stream == nil {
			hashed()
		} else {
			plain = &endReader{plain, hashed}
		}
	}
	return key.Seal(a.rl.cfg.Rand, binding, plain)
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

// createdBefore answers a repeated create. If the kubbi is wiped, its claim token can't be
// recovered, and the answer is an error that says how the kubbi has ended.
func (rl *Relay) createdBefore(ctx context.Context, idempotencyKey string, p *store.Replay) (resp api.CreateResponse, err error) {
	if p.Secret == (store.Secret{}) {
		k, err := rl.cfg.Store.Get(ctx, p.Owner, p.ID, rl.now())
		if err == nil {
			err = k.Status.Err()
		}
		if err == nil {
			err = damaged(&p.Kubbi, "its secret is missing")
		}
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

func (rl *Relay) createResponse(k *store.Kubbi, metadata []byte, t token) api.CreateResponse {
	count, size := packageOf(k)
	return api.CreateResponse{
		ID: k.ID, ClaimURL: rl.claimURL(t.text), ClaimToken: t.text, Status: statusOf(k),
		ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size,
		MaxRetrievals: optional(k.MaxRetrievals), Metadata: metadata,
		CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}
}
