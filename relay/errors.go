package relay

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/page"
	"kubbi-mcp/relay/store"
)

// apiError is an error that is meant for the client.
type apiError struct {
	code     api.Code
	message  string
	messages []string // details

	problem    page.Reason   // what a page says; page.Failed: as problems says
	retryAfter time.Duration // when the client may try again; 0: unknown
	cause      error         // a fault, for the log; nil: nothing to log
}

func (e *apiError) Error() string {
	if e.cause != nil {
		return string(e.code) + ": " + e.cause.Error()
	}
	return string(e.code) + ": " + e.message
}

func (e *apiError) Unwrap() error { return e.cause }

// fail makes an error for the client.
func fail(code api.Code, message string) error { return &apiError{code: code, message: message} }

// failFor is fail for a client that may try again after wait.
func failFor(wait time.Duration, code api.Code, message string) error {
	return &apiError{code: code, message: message, retryAfter: wait}
}

// faults collects the errors in a request.
type faults []string

func (f *faults) add(message string) { *f = append(*f, message) }

// err is nil if there are no faults.
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

const (
	internalMessage    = "the relay failed; its log says why"
	unavailableMessage = "the relay can't reach its store right now; try again"
	ownUserMessage     = "the embedded relay can't use its data directory"
	notFoundMessage    = "no such kubbi"
	damagedMessage     = " is damaged in the relay's store, or somebody has changed it there, so nothing of it is given out; "
)

// errorAnswers maps errors to answers. The first match counts.
var errorAnswers = []struct {
	is      error
	code    api.Code
	problem page.Reason // what a page says
	message string
	fault   bool // of the relay: it is logged
}{
	{errRequestDamaged, api.CodeDamaged, page.Failed, "this request" + damagedMessage + "ask for a new one", true},
	{errNoRequest, api.CodeNotFound, page.Unknown, "no such request", false},
	{errRequestExpired, api.CodeExpired, page.TimeUp, "this request has expired: nobody answered it in time", false},
	{errAnswered, api.CodeConflict, page.Answered, "this request was answered already, and takes one answer", false},
	{errWithdrawn, api.CodeGone, page.Withdrawn, "this request was withdrawn by whoever asked", false},
	{store.ErrDamaged, api.CodeDamaged, page.Failed, "this kubbi" + damagedMessage + "ask its sender for a new one", true},
	{store.ErrFull, api.CodeStorageFull, page.Failed, "the relay's disk is full", true},
	{store.ErrNotFound, api.CodeNotFound, page.Unknown, notFoundMessage, false},
	{store.ErrExpired, api.CodeExpired, page.Expired, "this kubbi has expired: its TTL has passed", false},
	{store.ErrBurned, api.CodeGone, page.Burned, "this kubbi was burned: it has been retrieved as often as it may be", false},
	{store.ErrDeleted, api.CodeGone, page.Deleted, "this kubbi was deleted by its producer", false},
	{store.ErrKeyReused, api.CodeConflict, page.Failed, "this Idempotency-Key was used before with another request", false},
	{store.ErrMasterKey, api.CodeUnavailable, page.Unavailable, "this relay does not have the master key of this kubbi yet; try again", true},
	{atrest.ErrUnknownKey, api.CodeUnavailable, page.Unavailable, "this relay does not have the master key of this kubbi yet; try again", true},
	{context.Canceled, api.CodeUnavailable, page.Unavailable, unavailableMessage, false},
	{context.DeadlineExceeded, api.CodeUnavailable, page.Unavailable, unavailableMessage, false},
	{store.ErrUnavailable, api.CodeUnavailable, page.Unavailable, unavailableMessage, true},
}

// forClient gives the answer for an error, without details that the client must not see.
// fault says that err must be logged.
func forClient(err error) (e apiError, fault bool) {
	if known, ok := errors.AsType[*apiError](err); ok {
		return *known, known.cause != nil
	}
	for _, a := range errorAnswers {
		if errors.Is(err, a.is) {
			return apiError{code: a.code, problem: a.problem, message: a.message}, a.fault
		}
	}
	return apiError{code: api.CodeInternal, message: internalMessage}, true
}

// diskFigures gives the figures that follow store.ErrFull in an error's text. It is "" if
// they include a path, which only the relay's own user may see.
func diskFigures(err error) string {
	_, more, _ := strings.Cut(err.Error(), store.ErrFull.Error()+": ")
	more, _, _ = strings.Cut(more, ": ")
	if more == "" || strings.ContainsAny(more, `/\`) {
		return ""
	}
	return ": " + more
}

// damagedFor makes an error for the producer that names the damaged kubbi and the cure.
func damagedFor(id string, err error) error {
	if !errors.Is(err, store.ErrDamaged) {
		return err
	}
	return &apiError{code: api.CodeDamaged, cause: err, message: "kubbi " + id + damagedMessage + "delete it, and send it again"}
}

// answerError answers with an error. If the answer has already begun, it is cut off.
func (rl *Relay) answerError(w http.ResponseWriter, r *http.Request, err error) {
	e, fault := forClient(err)
	own := rl.cfg.OwnUser != nil && rl.cfg.OwnUser(r)
	if fault {
		rl.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("method", method(r)), slog.String("route", routePath(r)), slog.Any("err", err))
	}
	switch {
	case e.code == api.CodeStorageFull:
		e.message += diskFigures(err)
		if own {
			e.messages = []string{err.Error()}
		}
	case fault && own && e.code != api.CodeDamaged:
		e.message, e.messages = ownUserMessage, []string{err.Error()}
	case e.code == api.CodeNotFound && own && rl.cfg.WhyUnknown != nil:
		if t, ok := parseToken(r.PathValue("token")); ok {
			e.messages = rl.cfg.WhyUnknown(r.Context(), t.text)
		}
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
	if wantsPage(r) {
		if err = problemPage(w, r, e); err == nil {
			return
		}
		rl.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "page not written", slog.Any("err", err))
	}
	WriteError(w, e.code, e.message, e.messages...)
}

// AnswerError is WriteError, but answers a browser with a page.
func AnswerError(w http.ResponseWriter, r *http.Request, code api.Code, message string) {
	if !wantsPage(r) || problemPage(w, r, apiError{code: code}) != nil {
		WriteError(w, code, message)
	}
}

// WriteError writes an error answer. It is for handlers around a relay that refuse a
// request themselves.
func WriteError(w http.ResponseWriter, code api.Code, message string, messages ...string) {
	err := writeJSON(w, api.Statuses[code], api.ErrorBody{Error: code, Message: message, Messages: messages})
	if err != nil { // a message that is not UTF-8
		_ = writeJSON(w, api.Statuses[api.CodeInternal], api.ErrorBody{Error: api.CodeInternal, Message: "the relay failed"})
	}
}
