package relay

import (
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/atrest"
	"kubbi-mcp/relay/store"
)

// What is sealed in one chunk must be one that every store takes.
const _ = uint(store.MaxChunk - atrest.ChunkSize - atrest.Overhead)

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
	ckey, request := rl.createKey(key, by.Owner)
	d, err := rl.draft(r, rl.limitsOf(by), request)
	if err != nil {
		return resp, err
	}
	defer d.close()
	if err := rl.roomFor(r.Context(), d.size); err != nil {
		return resp, err
	}
	t, err := rl.newClaimToken()
	if err != nil {
		return resp, err
	}
	id, err := uuid.NewV7FromReader(rl.cfg.Rand)
	if err != nil {
		return resp, fmt.Errorf("make id: %w", err)
	}
	now, ring := rl.now(), rl.cfg.Keyring.Current()
	k := &store.Kubbi{
		ID: id.String(), Owner: by.Owner, Token: t.hash(), MasterKey: ring.Sealing(now),
		Package: d.files != nil, ContentType: d.contentType, Files: d.files, FileCount: len(d.files), Size: d.size,
		Metadata: d.metadata, MaxRetrievals: d.maxRetrievals,
		CreatedAt: now, ExpiresAt: now.Add(d.ttl),
	}
	if ckey != nil {
		request.Sum(ckey.Request[:0])
		if ckey.Answer, err = rl.sealAnswer(ring, key, k, t); err != nil {
			return resp, err
		}
	}
	if d.notify != nil {
		if k.Notify, err = rl.sealTarget(ring, k, d.notify, apiKeyOf(r)); err != nil {
			return resp, err
		}
	}
	payload, err := rl.seal(ring, k, t, d.parts)
	if err != nil {
		return resp, err
	}
	replay, err := rl.cfg.Store.Create(r.Context(), k, payload, ckey, by.Quota, now)
	if err != nil {
		return resp, overQuota(err, by, now)
	}
	if replay != nil {
		if t, err = rl.openAnswer(r.Context(), key, replay); err != nil {
			return resp, err
		}
		k = &replay.Kubbi
	}
	return rl.created(k, t), nil
}

// created is the answer to a create.
func (rl *Relay) created(k *store.Kubbi, t token) api.CreateResponse {
	count, size := packageOf(k)
	return api.CreateResponse{
		ID: k.ID, ClaimURL: rl.claimURL(t.text), ClaimToken: t.text, Status: statusOf(k),
		ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size,
		MaxRetrievals: optional(k.MaxRetrievals), Metadata: k.Metadata,
		CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}
}

// seal gives the sealed payload of a new kubbi, chunk by chunk in one piece of
// memory.
func (rl *Relay) seal(ring *atrest.Keyring, k *store.Kubbi, t token, parts []part) (store.Chunks, error) {
	key, err := ring.Key(k.MasterKey, t.raw, atrest.Payload)
	if err != nil {
		return nil, err
	}
	return func(yield func(store.Chunk, error) bool) {
		for i, p := range parts {
			index := 0
			for sealed, err := range p.seal(rl.cfg.Rand, key, binding(k, i)) {
				if !yield(store.Chunk{Part: i, Index: index, Sealed: sealed}, err) || err != nil {
					return
				}
				index++
			}
		}
	}, nil
}

// binding is what a part of k's payload is sealed to.
func binding(k *store.Kubbi, part int) atrest.Binding {
	b := atrest.Binding{KubbiID: k.ID, Part: part, Parts: 1, Size: k.Size, ContentType: k.ContentType}
	if k.Package {
		f := k.Files[part]
		b.Parts, b.Size, b.Name, b.ContentType = len(k.Files), f.Size, f.Name, f.ContentType
	}
	return b
}
