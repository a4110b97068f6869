package relay

import (
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

// numberTries is how often a create is tried under another number, where a kubbi that
// another process made in the same 250 ns has it.
const numberTries = 8

// create answers POST /api/v1/kubbis. A repeated one, known by its
// Idempotency-Key, gets the first answer again, as of then.
func (rl *Relay) create(h http.Header, r *http.Request) (resp api.CreateResponse, err error) {
	by, err := rl.producer(h, r)
	if err != nil {
		return resp, err
	}
	key, err := rl.idempotencyKey(r)
	if err != nil {
		return resp, err
	}
	if err := rl.roomFor(r.Context(), 0); err != nil {
		return resp, err
	}
	held := &share{of: rl.memory}
	defer held.free()
	ckey, request := rl.createKey(key, by.Owner)
	d, err := rl.draft(r, rl.limitsOf(by), request, held)
	if err != nil {
		return resp, err
	}
	defer d.close()
	if err := rl.roomFor(r.Context(), d.size); err != nil {
		return resp, err
	}
	c := creation{rl: rl, by: by, draft: d, apiKey: apiKeyOf(r), key: key, ckey: ckey, request: request}
	for try := range numberTries {
		now := rl.now()
		k, t, payload, err := c.seal(now, try)
		if err != nil {
			return resp, err
		}
		replay, err := rl.cfg.Store.Create(r.Context(), k, payload, ckey, by.Quota, now)
		switch {
		case errors.Is(err, store.ErrExists) && d.stream == nil:
			continue
		case errors.Is(err, store.ErrExists):
			return resp, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		case err != nil:
			return resp, overQuota(err, by, now)
		case replay != nil:
			return rl.createdBefore(r, key, replay)
		}
		return rl.created(k, &record{d.files, d.metadata}, t), nil
	}
	return resp, fmt.Errorf("%w: every number that was tried is in use", store.ErrUnavailable)
}

// creation is what all attempts at a create have.
type creation struct {
	rl      *Relay
	by      *store.APIKey
	draft   *draft
	apiKey  string
	key     string           // Idempotency-Key; empty: none
	ckey    *store.CreateKey // nil: none
	request hash.Hash        // of all that was read of the body
}

// number gives the number of a new kubbi. After a first try it is some milliseconds
// ahead, since another process may count up beside this one.
func (c *creation) number(now time.Time, try int) (store.Number, error) {
	if try > 0 {
		var b [2]byte
		if _, err := io.ReadFull(c.rl.cfg.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("make number: %w", err)
		}
		now = now.Add(time.Duration(try) * time.Duration(binary.BigEndian.Uint16(b[:])) * 100)
	}
	return c.rl.numbers.Next(now, c.rl.cfg.Rand)
}

// seal makes a kubbi of the draft, and its sealed payload.
func (c *creation) seal(now time.Time, try int) (k *store.Kubbi, t token, payload io.Reader, err error) {
	rl, d := c.rl, c.draft
	number, err := c.number(now, try)
	if err != nil {
		return nil, t, nil, err
	}
	if t, err = rl.newClaimToken(number); err != nil {
		return nil, t, nil, err
	}
	ring := rl.cfg.Keyring.Current()
	k = &store.Kubbi{
		Owner: c.by.Owner, Token: t.key(), MasterKey: ring.Sealing(now),
		Package: d.files != nil, ContentType: d.contentType, FileCount: len(d.files), Size: d.size,
		MaxRetrievals: d.maxRetrievals, CreatedAt: now, ExpiresAt: now.Add(d.ttl),
	}
	if k.ID, err = number.ID(rl.cfg.Rand); err != nil {
		return nil, t, nil, err
	}
	if _, err := io.ReadFull(rl.cfg.Rand, k.Secret[:]); err != nil {
		return nil, t, nil, fmt.Errorf("make secret: %w", err)
	}
	if k.Record, err = rl.sealRecord(ring, k, &record{d.files, d.metadata}); err != nil {
		return nil, t, nil, err
	}
	if d.notify != nil {
		if k.Notify, err = rl.sealTarget(ring, k, d.notify, c.apiKey); err != nil {
			return nil, t, nil, err
		}
	}
	if c.ckey != nil {
		if c.ckey.Answer, err = rl.sealAnswer(ring, c.key, k, t); err != nil {
			return nil, t, nil, err
		}
	}
	payload, err = c.payload(ring, k, t)
	return k, t, payload, err
}

// payload gives the sealed payload. As it ends, the hash of the request is known.
func (c *creation) payload(ring *atrest.Keyring, k *store.Kubbi, t token) (io.Reader, error) {
	key, binding, err := payloadKey(ring, k, t)
	if err != nil {
		return nil, err
	}
	plain := c.draft.plain()
	if c.ckey != nil {
		if c.draft.stream == nil {
			c.request.Sum(c.ckey.Request[:0])
		} else {
			plain = &atEnd{plain, func() { c.request.Sum(c.ckey.Request[:0]) }}
		}
	}
	return key.Seal(c.rl.cfg.Rand, binding, plain)
}

// atEnd is a reader that does something once it has ended, before it says so.
type atEnd struct {
	io.Reader
	do func()
}

func (r *atEnd) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		r.do()
	}
	return n, err
}

// createdBefore is the answer to a create that is repeated. Where the kubbi is
// wiped nothing tells its claim token any more: the answer is that of its end.
func (rl *Relay) createdBefore(r *http.Request, key string, p *store.Replay) (resp api.CreateResponse, err error) {
	if p.Secret == (store.Secret{}) {
		k, err := rl.cfg.Store.Get(r.Context(), p.Owner, p.ID, rl.now())
		if err == nil {
			err = k.Status.Err()
		}
		if err == nil {
			err = damaged(&p.Kubbi, "its secret is missing")
		}
		return resp, err
	}
	o, err := open(rl.ringWith(r.Context(), p.MasterKey), &p.Kubbi)
	if err != nil {
		return resp, err
	}
	t, err := openAnswer(o, key, p.Answer)
	if err != nil {
		return resp, err
	}
	return rl.created(&p.Kubbi, &o.record, t), nil
}

// created is the answer to a create.
func (rl *Relay) created(k *store.Kubbi, r *record, t token) api.CreateResponse {
	count, size := packageOf(k)
	return api.CreateResponse{
		ID: k.ID, ClaimURL: rl.claimURL(t.text), ClaimToken: t.text, Status: statusOf(k),
		ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size,
		MaxRetrievals: optional(k.MaxRetrievals), Metadata: r.metadata,
		CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}
}
