package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// answerRequest is POST /q/:token. Its body is not read yet.
type answerRequest struct {
	consumerRequest
	*http.Request
}

// readAnswerer decodes GET /q/:token.
func (rl *Relay) readAnswerer(_ http.Header, r *http.Request) (req consumerRequest, err error) {
	req.from = rl.source(r)
	if req.token, err = pathToken(r); err != nil {
		return req, requestError(err)
	}
	req.token.ofRequest = true
	return req, nil
}

// readAnswer decodes POST /q/:token.
func (rl *Relay) readAnswer(h http.Header, r *http.Request) (req answerRequest, err error) {
	req.Request = r
	if req.consumerRequest, err = rl.readAnswerer(h, r); err != nil {
		return req, err
	}
	req.idempotencyKey, err = rl.idempotencyKey(r)
	return req, err
}

// pendingRequest reads the pending request of a request token and opens its record. An
// unknown token counts as a guess.
func (rl *Relay) pendingRequest(ctx context.Context, req consumerRequest) (*opened, error) {
	k, err := rl.cfg.Store.Inspect(ctx, req.token.key(), rl.now())
	if errors.Is(err, store.ErrNotFound) {
		err = rl.missed(req.from, err)
	}
	if err != nil {
		return nil, err
	}
	return rl.openAsk(ctx, k)
}

// question answers GET /q/:token: what is asked for. It changes nothing.
func (rl *Relay) question(ctx context.Context, _ http.Header, req consumerRequest) (resp api.Question, err error) {
	o, err := rl.pendingRequest(ctx, req)
	if err == nil {
		err = rl.settle(ctx, o)
	}
	if err != nil {
		return resp, requestError(err)
	}
	l := rl.limitsOf(o.Ask.key())
	return api.Question{
		Status: api.RequestPending, Message: o.Ask.Message, Fields: o.Ask.Fields, Files: o.Ask.Files,
		Limits:    api.AnswerLimits{Bytes: l.PackageBytes, Files: l.Files, FileNameBytes: filename.MaxBytes},
		CreatedAt: api.NewTime(o.CreatedAt), ExpiresAt: api.NewTime(o.ExpiresAt),
	}, nil
}

// answer answers POST /q/:token: it stores the answer as a kubbi of the asker, and ends the
// request. A repeated answer, recognised by its Idempotency-Key, gets the same receipt.
func (rl *Relay) answer(ctx context.Context, _ http.Header, req answerRequest) (resp api.AnswerResponse, err error) {
	key, request := rl.answerKey(req.consumerRequest)
	o, err := rl.pendingRequest(ctx, req.consumerRequest)
	if errors.Is(err, store.ErrBurned) && key != nil {
		return rl.answeredBefore(ctx, req, key, request)
	}
	if err != nil {
		if isEnd(err) { // a client that is still sending does not read the answer
			_, _ = io.Copy(io.Discard, http.MaxBytesReader(nil, req.Body, rl.longestBody()))
		}
		return resp, requestError(err)
	}
	if err := rl.reserveStorage(ctx, 0); err != nil {
		return resp, err
	}
	held := rl.bodies.reserve()
	defer held.free()
	by := o.Ask.key()
	limits := rl.limitsOf(by)
	limits.answer, limits.bytesOfKey = true, false // whoever answers has no API key
	d, err := rl.readDraft(req.Request, limits, request, held)
	if err != nil {
		return resp, err
	}
	defer d.close()
	if err := rl.reserveStorage(ctx, d.size); err != nil {
		return resp, err
	}
	d.ttl, d.maxRetrievals, d.answerTo = o.ExpiresAt.Sub(o.CreatedAt), 1, o.Token
	c := creation{rl: rl, owner: o.answerOwner(), quota: by.Quota, draft: d, key: key, request: request, now: rl.now()}
	if c.token, err = openReply(o, req.token); err != nil {
		return resp, requestError(err)
	}
	replay, err := c.storeAs(ctx, o.Ask.AnswerID)
	stored := c.kubbi
	switch {
	case errors.Is(err, store.ErrExists) && errors.Is(err, store.ErrUnavailable):
		return resp, failFor(2*time.Second, api.CodeUnavailable, "somebody is sending an answer to this request right now; try again")
	case errors.Is(err, store.ErrExists):
		return resp, rl.secondAnswer(ctx, o)
	case err != nil:
		return resp, askersQuotaError(err, c.now)
	case replay != nil:
		stored = &replay.Kubbi
	}
	// Even if the client has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	switch err := rl.endAnswered(ctx, o.Kubbi); {
	case err == nil:
		return receiptOfAnswer(stored), nil
	case isEnd(err), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrDamaged):
		rl.deleteAnswer(ctx, c.owner, o.Ask.AnswerID)
		return resp, requestError(err)
	default: // a repetition with the same key ends it
		return resp, err
	}
}

func receiptOfAnswer(k *store.Kubbi) api.AnswerResponse {
	return api.AnswerResponse{Status: api.RequestAnswered, AnsweredAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt)}
}

// secondAnswer gives the error for an answer whose number is in use.
func (rl *Relay) secondAnswer(ctx context.Context, o *opened) error {
	err := rl.settle(ctx, o)
	if err == nil { // by another kubbi: see replyNumber
		err = damaged(o.Kubbi, "the number of its answer is in use")
	}
	return requestError(err)
}

// askersQuotaError turns the store's refusal of an answer into one that says that the quota of
// the asker's API key is used up.
func askersQuotaError(err error, now time.Time) error {
	const message = "the answer can't be stored now: whoever asked has as many kubbis as the quota of the API key allows; try again later"
	switch {
	case errors.Is(err, store.ErrDailyQuota):
		return failFor(untilMidnight(now), api.CodeQuotaExceeded, message)
	case errors.Is(err, store.ErrActiveQuota):
		return fail(api.CodeQuotaExceeded, message)
	}
	return err
}

// answerKey makes the key of an idempotent answer, like createKey.
func (rl *Relay) answerKey(req consumerRequest) (*store.CreateKey, hash.Hash) {
	return rl.createKey(req.idempotencyKey, ownerOfRequests+req.token.text)
}

// answeredBefore answers an answer to a request that is answered: with the receipt, if it is a
// repetition. To find that out, it tries to store a kubbi under the number of the request. This
// number is in use, so the store does nothing except look for the key.
func (rl *Relay) answeredBefore(ctx context.Context, req answerRequest, key *store.CreateKey, request hash.Hash) (resp api.AnswerResponse, err error) {
	if _, err := io.Copy(request, http.MaxBytesReader(nil, req.Body, rl.longestBody())); err != nil {
		return resp, errAnswered // the body ends early, or no answer is so long
	}
	request.Sum(key.Request[:0])
	now := rl.now()
	// If the request has been removed in the meantime, the kubbi is stored. So it is expired.
	k := &store.Kubbi{
		Owner: ownerOfRequests, Token: req.token.key(), MasterKey: rl.cfg.Keyring.Current().Sealing(now), ContentType: api.TypeText,
		MaxRetrievals: 1, CreatedAt: now, ExpiresAt: now,
	}
	if k.ID, err = k.Token.Number.ID(rl.cfg.Rand); err != nil {
		return resp, err
	}
	if _, err := io.ReadFull(rl.cfg.Rand, k.Secret[:]); err != nil {
		return resp, fmt.Errorf("make secret: %w", err)
	}
	replay, err := rl.cfg.Store.Create(ctx, k, bytes.NewReader(nil), key, store.Quota{}, now)
	switch {
	case replay != nil:
		return receiptOfAnswer(&replay.Kubbi), nil
	case err == nil, errors.Is(err, store.ErrExists):
		return resp, errAnswered
	}
	return resp, err
}

// longestBody is the longest body of an answer that is read, in bytes.
func (rl *Relay) longestBody() int64 {
	l := rl.cfg.Limits
	return max(api.MaxRawHead+max(l.ContentBytes, l.PackageBytes), maxJSONBody(l))
}

// answer checks what an answer has in place of TTL, maximum of retrievals and webhook: the seal
// of its asker.
func (v *validator) answer(c *createMembers) {
	if ttl := c.ttl; !v.null(ttl) && string(ttl.in(v.body)) != "0" {
		v.add("ttl_seconds can't be given in an answer: the request has it")
	}
	if !v.null(c.maxRetrievals) {
		v.add("max_retrievals can't be given in an answer, which can be claimed once")
	}
	if !v.null(c.notify) {
		v.add("x_notify can't be given in an answer")
	}
	if len(v.faults) == 0 && !v.sealedForAsker() {
		v.add("an answer must be encrypted for whoever asked: open the request URL in a browser, or pass it to kubbi-mcp answer")
	}
}

// sealedForAsker reports whether a draft is a sealed kubbi, and its metadata is only the seal,
// which names a recipient. docs/wire.md has its form.
func (v *validator) sealedForAsker() bool {
	d := &v.draft
	if len(d.files) != 1 || d.files[0].Name != api.SealedName || d.files[0].ContentType != api.TypeSealed ||
		d.files[0].Encoding != api.EncodingBase64 {
		return false
	}
	var metadata struct {
		Sealed struct {
			To []struct {
				KID string `json:"kid"`
				Key string `json:"key"`
			} `json:"to"`
		} `json:"sealed"`
	}
	var members map[string]any
	if json.Unmarshal(d.metadata, &metadata) != nil || json.Unmarshal(d.metadata, &members) != nil || len(members) != 1 {
		return false
	}
	to := metadata.Sealed.To
	return len(to) > 0 && to[0].KID != "" && to[0].Key != ""
}
