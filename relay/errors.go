package relay

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// apiError is an error that is meant for the client.
type apiError struct {
	code     api.Code
	message  string
	messages []string // with CodeValidation

	retryAfter time.Duration // when another attempt may do better; 0: nobody knows
	cause      error         // for the log; nil: nobody need look there
}

func (e *apiError) Error() string {
	if e.cause != nil {
		return string(e.code) + ": " + e.cause.Error()
	}
	return string(e.code) + ": " + e.message
}

func (e *apiError) Unwrap() error { return e.cause }

// fail makes an error for the client.
func fail(code api.Code, message string) *apiError { return &apiError{code: code, message: message} }

// faults collects what is wrong with a request.
type faults []string

func (f *faults) add(message string) { *f = append(*f, message) }

// err is nil if there are none.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	message := f[0]
	if len(f) > 1 {
		message = "the request has several faults"
	}
	return &apiError{code: api.CodeValidation, message: message, messages: f}
}

// invalid makes a validation error of one fault.
func invalid(message string) error { return faults{message}.err() }

// What the client reads when an error says no more.
const (
	internalMessage    = "the relay failed; its log says why"
	unavailableMessage = "the relay can't reach its store right now; try again"
	ownMessage         = "the embedded relay can't use its data directory"
	masterKeyMessage   = "this relay does not have the master key of this kubbi yet; try again"
	notFoundMessage    = "no such kubbi"
	expiredMessage     = "this kubbi has expired: its TTL has passed"
	burnedMessage      = "this kubbi was burned: it has been retrieved as often as it may be"
	deletedMessage     = "this kubbi was deleted by its producer"
	damagedMessage     = "this kubbi is damaged in the relay's store, or somebody has changed it there, so nothing of it is given out; ask its sender for a new one"
	fullMessage        = "the relay's disk is full"
)

// forClient gives what of err the client may know; known is false if err is a
// fault that only the log should tell.
func forClient(err error) (e *apiError, known bool) {
	switch {
	case errors.As(err, &e):
		return e, e.cause == nil
	case errors.Is(err, store.ErrDamaged):
		return &apiError{code: api.CodeDamaged, message: damagedMessage, cause: err}, false
	case errors.Is(err, store.ErrFull):
		return &apiError{code: api.CodeStorageFull, message: fullMessage + figures(err), cause: err}, false
	case errors.Is(err, store.ErrNotFound):
		return fail(api.CodeNotFound, notFoundMessage), true
	case errors.Is(err, store.ErrExpired):
		return fail(api.CodeExpired, expiredMessage), true
	case errors.Is(err, store.ErrBurned):
		return fail(api.CodeGone, burnedMessage), true
	case errors.Is(err, store.ErrDeleted):
		return fail(api.CodeGone, deletedMessage), true
	case errors.Is(err, store.ErrKeyReused):
		return fail(api.CodeConflict, "this Idempotency-Key was used before with another request"), true
	case errors.Is(err, store.ErrMasterKey), errors.Is(err, atrest.ErrUnknownKey):
		return fail(api.CodeUnavailable, masterKeyMessage), false
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fail(api.CodeUnavailable, unavailableMessage), true
	case errors.Is(err, store.ErrUnavailable):
		return fail(api.CodeUnavailable, unavailableMessage), false
	}
	return fail(api.CodeInternal, internalMessage), false
}

// figures gives what a store says of a full disk behind store.ErrFull: numbers, as long
// as there is no path among them, which is for the relay's own user alone.
func figures(err error) string {
	_, more, _ := strings.Cut(err.Error(), store.ErrFull.Error()+": ")
	more, _, _ = strings.Cut(more, ": ")
	if more == "" || strings.ContainsAny(more, `/\`) {
		return ""
	}
	return ": " + more
}

// tellDamaged has the producer know which of its kubbis is damaged, and what to do.
func tellDamaged(id string, err error) error {
	if !errors.Is(err, store.ErrDamaged) {
		return err
	}
	return &apiError{code: api.CodeDamaged, cause: err, message: "kubbi " + id +
		" is damaged in the relay's store, or somebody has changed it there, so nothing of it is given out; delete it, and send it again"}
}

// answerError answers with an error, or cuts the answer off if it has begun.
func (rl *Relay) answerError(w http.ResponseWriter, r *http.Request, err error) {
	e, known := forClient(err)
	if !known {
		rl.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("method", method(r)), slog.String("route", shape(r)), slog.Any("err", err))
	}
	if e.code == api.CodeStorageFull && rl.cfg.Own != nil && rl.cfg.Own(r) {
		e.messages = []string{e.cause.Error()}
	}
	if !known && e.cause == nil && rl.cfg.Own != nil && rl.cfg.Own(r) {
		e = &apiError{code: e.code, message: ownMessage, messages: []string{err.Error()}}
	}
	if rec, ok := w.(*recorder); ok {
		if rec.status != 0 {
			rec.abort = true
			return
		}
		rec.code = e.code
	}
	wait := e.retryAfter
	if e.code == api.CodeUnavailable {
		wait = time.Second
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds(wait)))
	}
	if !wantsPage(r) {
		WriteError(w, e.code, e.message, e.messages...)
	} else if err := problemPage(w, r, e, err); err != nil {
		rl.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "page not written", slog.Any("err", err))
	}
}

// AnswerError is WriteError for a request that may be a browser's, which gets a
// page.
func AnswerError(w http.ResponseWriter, r *http.Request, code api.Code, message string) {
	if !wantsPage(r) || problemPage(w, r, fail(code, message), nil) != nil {
		WriteError(w, code, message)
	}
}

// WriteError writes an error answer, for handlers around a relay that refuse a
// request before it.
func WriteError(w http.ResponseWriter, code api.Code, message string, messages ...string) {
	body, err := json.Marshal(api.ErrorBody{Error: code, Message: message, Messages: messages})
	if err != nil { // a message that is not UTF-8
		code, body = api.CodeInternal, []byte(`{"error":"internal_error","message":"the relay failed"}`)
	}
	_ = writeJSON(w, api.Statuses[code], body)
}
