package relay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// readClaim decodes a claim or a release.
func (rl *Relay) readClaim(h http.Header, r *http.Request) (req consumerRequest, err error) {
	if req, err = rl.readToken(h, r); err != nil {
		return req, err
	}
	req.idempotencyKey, err = rl.idempotencyKey(r)
	return req, err
}

const (
	maxWholeAnswer = 64 << 10 // bytes of a payload whose answer is complete before it is sent
	answerBuffer   = 32 << 10
)

// claim answers POST /r/:token/claim. A large payload is opened, encoded and sent
// chunk by chunk, so that it is never in memory whole.
func (rl *Relay) claim(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	c, err := rl.claimPayload(h, r)
	if err != nil {
		return err
	}
	defer c.close()
	switch {
	case quality(r, api.TypeRaw) > 0:
		return c.answerRaw(w)
	case c.Size <= maxWholeAnswer:
		var b bytes.Buffer
		b.Grow(int(c.Size) + int(c.Size)/2 + 1024) // base64, or a few escapes
		if err := c.writeJSON(&b); err != nil {
			return err
		}
		h.Set("Content-Type", "application/json")
		writeWhole(w, http.StatusOK, b.Bytes())
		return nil
	}
	h.Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(clientWriter{w}, answerBuffer)
	if err := c.writeJSON(out); err != nil {
		return err
	}
	return out.Flush()
}

// claimed is a claim that was counted, with its opened record and payload.
type claimed struct {
	*opened
	claim *store.Claimed
	plain *atrest.Opener
}

// claimPayload claims a kubbi and sets the headers of the answer. The caller closes
// the result.
func (rl *Relay) claimPayload(h http.Header, r *http.Request) (*claimed, error) {
	req, err := rl.readClaim(h, r)
	if err != nil {
		return nil, err
	}
	key := rl.claimKey(req.idempotencyKey)
	ring := rl.cfg.Keyring.Current()
	ctx := r.Context()
	var counted *store.Claimed
	err = rl.limitGuesses(ctx, req, func() (err error) {
		counted, err = rl.cfg.Store.Claim(ctx, req.token.key(), key, ring.IDs(), rl.now())
		if errors.Is(err, store.ErrMasterKey) && rl.cfg.Keyring.Reload(ctx) == nil {
			ring = rl.cfg.Keyring.Current() // another node may have got a new key earlier
			counted, err = rl.cfg.Store.Claim(ctx, req.token.key(), key, ring.IDs(), rl.now())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if counted.Notify != nil || counted.Burned {
		rl.wakeSender()
	}
	c, err := openClaimed(ring, counted, req.token)
	if err == nil {
		err = rl.checkAnswer(ctx, c.opened)
	}
	if err != nil {
		_ = counted.Payload.Close()
		return nil, err
	}
	h.Set(api.HeaderRemainingReads, api.Unlimited)
	if left := remaining(c.Kubbi, counted.Number); left != nil {
		h.Set(api.HeaderRemainingReads, strconv.Itoa(*left))
	}
	if key != nil {
		h.Set(api.HeaderClaimGrace, strconv.FormatInt(int64(rl.cfg.Grace/time.Second), 10))
	}
	return c, nil
}

// openClaimed opens the record and the first chunk of the payload. So a wrong payload is
// found before any part of the answer is sent.
func openClaimed(ring *atrest.Keyring, counted *store.Claimed, t token) (*claimed, error) {
	o, err := open(ring, &counted.Kubbi)
	if err != nil {
		return nil, err
	}
	if o.wiped {
		return nil, damaged(o.Kubbi, "a claim has returned no record")
	}
	key, binding, err := payloadKey(ring, o.Kubbi, t)
	if err != nil {
		return nil, err
	}
	plain, err := key.Open(binding, counted.Payload)
	if err != nil {
		return nil, damaged(o.Kubbi, "its size is not valid")
	}
	c := &claimed{o, counted, plain}
	if _, err := plain.Next(0); err != nil && err != io.EOF {
		return nil, c.fault(err)
	}
	return c, nil
}

// copy copies the next bytes of the payload, in pieces, from the memory that they were
// opened in.
func (c *claimed) copy(w io.Writer, size int64) error {
	for size > 0 {
		b, err := c.plain.Next(min(size, answerBuffer))
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			return c.fault(err)
		}
		size -= int64(len(b))
	}
	return nil
}

// done checks that the payload was whole and has no more bytes.
func (c *claimed) done() error { return c.fault(c.plain.Done()) }

// close frees the payload.
func (c *claimed) close() { _ = c.claim.Payload.Close() }

// fault gives the error for a failed read or copy of the payload: that of a client that has
// gone, store.ErrDamaged if the payload does not open, or the error of the store.
func (c *claimed) fault(err error) error {
	if _, known := errors.AsType[*apiError](err); known || err == nil {
		return err
	}
	if errors.Is(err, atrest.ErrOpen) || errors.Is(err, io.EOF) {
		return damaged(c.Kubbi, "its payload does not open")
	}
	return fmt.Errorf("payload of a kubbi: %w", err)
}

// clientWriter marks errors of writing to the client, which are not faults of the relay.
type clientWriter struct{ w io.Writer }

func (c clientWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if err != nil {
		err = fail(api.CodeUnavailable, "the client went away")
	}
	return n, err
}

// release answers DELETE /r/:token/claim, a route that only our relay has: the client has
// received the payload of the claim with that key, and the grace ends.
func (rl *Relay) release(w http.ResponseWriter, r *http.Request) error {
	req, err := rl.readClaim(w.Header(), r)
	if err != nil {
		return err
	}
	if req.idempotencyKey == "" {
		return invalid(api.HeaderIdempotencyKey + " must be that of the claim whose grace is to end")
	}
	err = rl.limitGuesses(r.Context(), req, func() error {
		return rl.cfg.Store.Release(r.Context(), req.token.key(), HashSecret(req.idempotencyKey), rl.now())
	})
	// A repeated release finds nothing to end, which is no error.
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrOtherKey) {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
