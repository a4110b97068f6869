package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// A request is stored as a kubbi without content that can be claimed once; the claim is its
// answer. Its record holds what is asked for, and the sealed claim token of the kubbi that the
// answer will be. So the id and the claim URL of that kubbi are known before it exists.
//
// The answer is stored first, and the request is claimed then. The number of the answer's
// kubbi is a primary key, so only one answer is stored. If a relay dies between the two steps,
// whoever next looks at the request or its answer claims the request. The answer to a request
// that has ended otherwise is shown to nobody.

// ownerOfRequests precedes the owner of requests in a store. No API key has an owner with a
// control character, so the operations on kubbis find no requests.
const ownerOfRequests = "\x01request:"

// requester is the owner of the requests of a key's owner.
func requester(owner string) string { return ownerOfRequests + owner }

// isRequest reports whether a row is a request, and no kubbi.
func isRequest(k *store.Kubbi) bool { return strings.HasPrefix(k.Owner, ownerOfRequests) }

// ask is the part of a request's record.
type ask struct {
	Message  string      `json:"message"`
	Fields   []api.Field `json:"fields,omitzero"`
	Files    bool        `json:"files,omitzero"`
	AnswerID string      `json:"answer"`
	Token    []byte      `json:"token"` // of the answer, sealed by sealReply

	// Limits of the API key, which are those of the answer, too.
	MaxBytes int64 `json:"max_bytes,omitzero"`
	Daily    int   `json:"daily,omitzero"`
	Active   int   `json:"active,omitzero"`

	reply token // Token in clear, before it is sealed
}

// key holds the limits of the API key.
func (a *ask) key() *store.APIKey {
	return &store.APIKey{MaxBytes: a.MaxBytes, Quota: store.Quota{Daily: a.Daily, Active: a.Active}}
}

// sealReply seals the claim token of the answer for the record of a new request. Its key
// depends on the request's token, so that data base, secrets and master keys together do not
// give the claim token.
func (rl *Relay) sealReply(ring *atrest.Keyring, k *store.Kubbi, t token, a ask) (*ask, error) {
	key, err := ring.Key(k.MasterKey, k.Secret[:], atrest.Reply, t.raw)
	if err != nil {
		return nil, err
	}
	a.Token, err = key.SealBytes(rl.cfg.Rand, []byte(k.ID), a.reply.raw)
	return &a, err
}

// openReply returns the claim token that sealReply has sealed.
func openReply(o *opened, t token) (token, error) {
	key, err := o.ring.Key(o.MasterKey, o.Secret[:], atrest.Reply, t.raw)
	if err != nil {
		return token{}, err
	}
	raw, err := key.OpenBytes([]byte(o.ID), o.Ask.Token)
	if err != nil || len(raw) != tokenBytes {
		return token{}, damaged(o.Kubbi, "the claim token of its answer does not open")
	}
	return tokenOf(raw), nil
}

// The errors of a request. Each wraps the store's error.
var (
	errNoRequest      = errors.New("request not found")
	errAnswered       = errors.New("request answered")
	errRequestExpired = errors.New("request expired")
	errWithdrawn      = errors.New("request withdrawn")
	errRequestDamaged = errors.New("request damaged")
)

// requestError turns an error of the store about a request's row into one of the request.
func requestError(err error) error {
	for _, e := range []struct{ of, is error }{
		{store.ErrNotFound, errNoRequest},
		{store.ErrBurned, errAnswered},
		{store.ErrExpired, errRequestExpired},
		{store.ErrDeleted, errWithdrawn},
		{store.ErrDamaged, errRequestDamaged},
	} {
		if errors.Is(err, e.of) {
			return fmt.Errorf("%w: %w", e.is, err)
		}
	}
	return err
}

// openAsk opens the record of an active request.
func (rl *Relay) openAsk(ctx context.Context, k *store.Kubbi) (*opened, error) {
	o, err := open(rl.keyringWith(ctx, k.MasterKey), k)
	if err == nil && o.Ask == nil {
		err = damaged(k, "its record is not a request's")
	}
	return o, err
}

// settle claims an active request if its answer is stored. That is so while an answer is
// between its two steps, or if a relay died there. The error is store.ErrBurned then.
func (rl *Relay) settle(ctx context.Context, o *opened) error {
	_, err := rl.cfg.Store.Get(ctx, o.answerOwner(), o.Ask.AnswerID, rl.now())
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = rl.endAnswered(ctx, o.Kubbi)
	}
	if err == nil {
		err = store.ErrBurned
	}
	return err
}

// checkAnswer checks that a kubbi is no answer to a request that was withdrawn or has expired
// before the answer's second step, and takes that step if nobody has done so.
func (rl *Relay) checkAnswer(ctx context.Context, o *opened) error {
	if o.AnswerTo == (store.Token{}) {
		return nil
	}
	k, err := rl.cfg.Store.Inspect(ctx, o.AnswerTo, rl.now())
	if err == nil {
		err = rl.endAnswered(ctx, k)
	}
	// The tombstone of an answered request may have been removed.
	if errors.Is(err, store.ErrBurned) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return requestError(err)
}

// answerOwner is the owner of a request's answer.
func (o *opened) answerOwner() string { return o.Owner[len(ownerOfRequests):] }

// endAnswered claims a request whose answer is stored. It returns nil if somebody else has
// done so.
func (rl *Relay) endAnswered(ctx context.Context, k *store.Kubbi) error {
	c, err := rl.cfg.Store.Claim(ctx, k.Token, nil, nil, rl.now())
	if errors.Is(err, store.ErrBurned) {
		return nil
	}
	if err != nil {
		return err
	}
	rl.wakeSender()
	return c.Payload.Close()
}

// answerDelay is how long after the expiry of a request an answer that came in time may be
// written: as long as a store tries to write.
const answerDelay = 30 * time.Second

// asked answers GET /api/v1/requests/:id.
func (rl *Relay) asked(ctx context.Context, _ http.Header, req idRequest) (api.Asked, error) {
	o, err := rl.findRequest(ctx, req)
	if err != nil {
		return api.Asked{}, err
	}
	return askedOf(o), nil
}

// findRequest reads a request of a producer, in any status.
func (rl *Relay) findRequest(ctx context.Context, req idRequest) (*opened, error) {
	k, err := rl.cfg.Store.Get(ctx, requester(req.by.Owner), req.id, rl.now())
	if err != nil {
		return nil, requestError(err)
	}
	return rl.currentRequest(ctx, k)
}

// currentRequest decides whether a request that was just read has been answered. Its record is
// opened if the request is pending.
func (rl *Relay) currentRequest(ctx context.Context, k *store.Kubbi) (*opened, error) {
	var err error
	if k.Status == store.Expired && rl.now().Sub(k.ExpiresAt) < answerDelay {
		if k, err = rl.decideExpiry(ctx, k); err != nil {
			return nil, requestError(err)
		}
	}
	if k.Status != store.Active {
		return &opened{Kubbi: k, wiped: true}, nil
	}
	o, err := rl.openAsk(ctx, k)
	if err != nil {
		return nil, damagedRequest(k.ID, err)
	}
	if err := rl.settle(ctx, o); err == nil {
		return o, nil
	} else if !isEnd(err) {
		return nil, requestError(err)
	}
	if k, err = rl.cfg.Store.Get(ctx, k.Owner, k.ID, rl.now()); err != nil {
		return nil, requestError(err)
	}
	return &opened{Kubbi: k, wiped: true}, nil
}

// decideExpiry reads an expired request again after the store has written that it expired, or
// that it was answered. Until then an answer that came in time may be in progress. Whoever is
// told that a request has expired may forget the key of its answer.
func (rl *Relay) decideExpiry(ctx context.Context, k *store.Kubbi) (*store.Kubbi, error) {
	if _, err := rl.Sweep(ctx); err != nil {
		return nil, err
	}
	// The sweep skips a row that a claim has locked. This changes nothing, but waits for the claim.
	if err := rl.cfg.Store.Release(ctx, k.Token, store.Hash{}, rl.now()); err != nil {
		return nil, err
	}
	return rl.cfg.Store.Get(ctx, k.Owner, k.ID, rl.now())
}

// isEnd reports whether an error of the store says that a request has ended.
func isEnd(err error) bool { return statusIn(err) != store.Active }

// damagedRequest makes an error for the asker that names the damaged request and the cure.
func damagedRequest(id string, err error) error {
	if !errors.Is(err, store.ErrDamaged) {
		return err
	}
	return &apiError{code: api.CodeDamaged, cause: err, message: "request " + id + damagedMessage + "withdraw it, and ask again"}
}

func askedOf(o *opened) api.Asked {
	a := api.Asked{
		ID: o.ID, Status: api.RequestStatuses[o.Status], CreatedAt: api.NewTime(o.CreatedAt), ExpiresAt: api.NewTime(o.ExpiresAt),
	}
	if o.Status == store.Active {
		a.Message = o.Ask.Message
	} else {
		a.EndedAt = api.OptionalTime(o.EndedAt)
	}
	return a
}

// withdraw answers DELETE /api/v1/requests/:id. Only a pending request can be withdrawn, even
// if it is damaged.
func (rl *Relay) withdraw(ctx context.Context, _ http.Header, req idRequest) (resp api.Asked, err error) {
	o, err := rl.findRequest(ctx, req)
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		return resp, err
	}
	status, k := store.Active, (*store.Kubbi)(nil)
	if err == nil {
		status = o.Status
	}
	if status == store.Active {
		k, err = rl.cfg.Store.Delete(ctx, requester(req.by.Owner), req.id, rl.now())
		if ended := statusIn(err); ended != store.Active {
			status, err = ended, nil
		}
	}
	switch {
	case err != nil:
		return resp, requestError(err)
	case status != store.Active:
		return resp, fail(api.CodeConflict, "only a pending request can be withdrawn, and this one is "+string(api.RequestStatuses[status]))
	}
	rl.wakeSender()
	if o != nil {
		rl.deleteAnswer(ctx, o.answerOwner(), o.Ask.AnswerID)
	}
	return askedOf(&opened{Kubbi: k, wiped: true}), nil
}

// deleteAnswer deletes an answer that was stored for a request that has ended. If that fails,
// the answer stays until its TTL has passed. Only the asker can open it.
func (rl *Relay) deleteAnswer(ctx context.Context, owner, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	_, err := rl.cfg.Store.Delete(ctx, owner, id, rl.now())
	if err != nil && !isEnd(err) && !errors.Is(err, store.ErrNotFound) {
		rl.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "answer of an ended request not deleted", slog.String("kubbi", id), slog.Any("err", err))
	}
}
