package tools

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kubbi-mcp/internal/sealedfile"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/args"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

// toolError is an error whose text is written for a model.
type toolError struct {
	outcome string
	text    string // what happened, and what to do next
}

func (e *toolError) Error() string { return e.text }

// ErrorText gives the text of an error for a model: what happened, and what to do next. tool
// is the tool that does the work. The text holds no stack, key, token or payload.
func ErrorText(tool string, err error) string {
	if own, ok := errors.AsType[*toolError](err); ok {
		return own.text
	}
	if wrong, ok := errors.AsType[args.Error](err); ok {
		return "Wrong arguments, nothing was done. " + string(wrong) + " Correct them and call this tool again."
	}
	if unsaved, ok := errors.AsType[*claims.Unsaved](err); ok {
		return unsavedText(unsaved)
	}
	if again, ok := errors.AsType[*claims.AlreadyClaimed](err); ok {
		return fmt.Sprintf("You have claimed this already, and its content was in the answer to that call; it was the last retrieval. "+
			"If that content did not reach you whole, call claim again within %d seconds with again: true, or with save_to: it counts once.", int(again.Left.Seconds()))
	}
	if refused, ok := errors.AsType[files.Refusal](err); ok {
		done := "Nothing was sent"
		if tool == "claim" {
			done = "Nothing was claimed"
		}
		return done + ": " + sentence(string(refused))
	}
	if errors.As(err, new(claims.UnknownID)) {
		return "No claim URL is kept for this id. It was claimed for good, has expired or was deleted, or it is the id of something that was sent without handle: then use the claim_url from that result."
	}
	if errors.Is(err, sealedfile.ErrDamaged) {
		return "The claim URL of this id can't be used: " + sentence(err.Error()) + " Tell your user."
	}
	if kerr, ok := errors.AsType[*kubbi.Error](err); ok {
		return clientErrorText(tool, kerr)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "The call was cancelled."
	case errors.Is(err, context.DeadlineExceeded):
		return "There was no answer in time. Try again."
	default:
		// Its text may hold anything.
		return "Something went wrong inside kubbi-mcp. The log on its stderr may say more; try again, or tell your user."
	}
}

// unsavedText is the text for a claim that has counted, and whose payload was not saved.
func unsavedText(u *claims.Unsaved) string {
	text := "The payload was claimed and could not be saved: " + sentence(u.Err.Error())
	if u.Grace > 0 {
		text += fmt.Sprintf(" It is not lost: it can be had for %d seconds. Mend this, or choose another folder, and claim again with the same claim_url; it counts once.", int(u.Grace.Seconds()))
	}
	switch {
	case u.Kept != "" && u.Grace > 0:
		text += fmt.Sprintf(" The service's answer, still sealed, is in %q for a day.", u.Kept)
	case u.Kept != "":
		text += fmt.Sprintf(" It is not lost: the service's answer, JSON with the payload in it, is in %q for a day; tell your user.", u.Kept)
	}
	return text
}

// clientErrorText gives the text of an error of the client: our words first, then a notice
// and the service's words.
func clientErrorText(tool string, e *kubbi.Error) string {
	text := ownWords(tool, e)
	if said := e.Said(); said != "" && !isFullyWorded(tool, e) {
		text += " " + capital(said) + "."
	}
	return text
}

// isFullyWorded reports whether the service's words would add nothing to ours.
func isFullyWorded(tool string, e *kubbi.Error) bool {
	for _, kind := range []error{kubbi.ErrExpired, kubbi.ErrNotFound, kubbi.ErrUnauthorized, kubbi.ErrRateLimited} {
		if errors.Is(e, kind) {
			return true
		}
	}
	return e.Code == api.CodeNotImplemented || tool == "delete" && errors.Is(e, kubbi.ErrConflict)
}

// ownMessage gives an error's message if it is ours, else other. The service's words are
// quoted only after a notice.
func ownMessage(e *kubbi.Error, other string) string {
	if e.Theirs() {
		return other
	}
	return sentence(e.Message)
}

// ownWords says in our words what went wrong and what to do.
func ownWords(tool string, e *kubbi.Error) string {
	consumer := tool == "claim" || tool == "inspect"
	switch {
	case errors.Is(e, kubbi.ErrOrigin):
		return "Nothing was sent: " + sentence(e.Message) + " Only your user can decide that: ask them before you go on."
	case errors.Is(e, kubbi.ErrSealed):
		return capital(sentence(e.Message))
	case errors.Is(e, kubbi.ErrExpired):
		return "This kubbi has expired: its time is up and its content is wiped. Ask the sender to send it again."
	case errors.Is(e, kubbi.ErrGone) && e.Uncertain:
		return capital(ownMessage(e, burnedOrDeleted)) +
			" An earlier attempt of this very call got no answer and may have used it up, so the content is lost. Ask the sender to send it again."
	case errors.Is(e, kubbi.ErrGone):
		return capital(ownMessage(e, burnedOrDeleted)) + " Its content is wiped and can't be recovered. Ask the sender to send it again."
	case errors.Is(e, kubbi.ErrNotFound) && consumer && len(e.Messages) > 0 && !e.Theirs():
		return "There is no kubbi behind this claim URL. " + sentences(e.Messages)
	case errors.Is(e, kubbi.ErrNotFound) && consumer:
		return "There is no kubbi behind this claim URL. Check that it is complete and unchanged; if it is, it was wiped long ago, so ask the sender for a new one."
	case errors.Is(e, kubbi.ErrNotFound):
		return "You have sent no kubbi with this id. Take the id from the result of send or send_files, or from list; a claim URL is not an id."
	case errors.Is(e, kubbi.ErrConflict) && tool == "delete":
		return "This kubbi is no longer active: it has expired, was burned by its last claim, or was deleted before. Its content is wiped already, so there is nothing left to delete."
	case errors.Is(e, kubbi.ErrConflict):
		return "The service reports a conflict" + reason(e) + " Look at the kubbi's status with get or list before you try again."
	case errors.Is(e, kubbi.ErrUnauthorized):
		return "The API key is missing, wrong, expired or revoked, so this tool can't be used. Your user must set KUBBI_API_KEY (or --api-key) to a valid key and restart kubbi-mcp; claim and inspect work without one."
	case errors.Is(e, kubbi.ErrQuotaExceeded):
		return "The account's quota is used up" + reason(e) + " Delete kubbis that are no longer needed (list, delete), or tell your user."
	case errors.Is(e, kubbi.ErrRateLimited):
		return "Too many requests. " + waitFor(e.RetryAfter)
	case errors.Is(e, kubbi.ErrValidation) && e.Theirs() && consumer:
		return "The service refused the request. Check that the claim URL is complete and unchanged; if it is, tell your user."
	case errors.Is(e, kubbi.ErrValidation) && e.Theirs() && e.Code == api.CodeTooLarge:
		return "The service refused the request: it is too large. Send less, or in several kubbis."
	case errors.Is(e, kubbi.ErrValidation) && e.Theirs():
		return "The service refused the request as wrong. Correct the arguments and call this tool again."
	case errors.Is(e, kubbi.ErrValidation):
		what := e.Message
		if len(e.Messages) > 0 {
			what = strings.Join(e.Messages, "; ")
		}
		return "The request was refused: " + sentence(what) + " Correct this and call this tool again."
	case e.Code == api.CodeStorageFull && len(e.Messages) > 0 && !e.Theirs():
		return "Nothing was stored in the data directory. " + sentences(e.Messages) +
			" Claims and deletes still work. Tell your user; when there is room, call this tool again: no restart is needed. Another folder can be given with --data-dir (KUBBI_DATA_DIR)."
	case e.Code == api.CodeStorageFull:
		return "Nothing was stored. " + capital(ownMessage(e, "The relay's disk is full.")) +
			" Claims and deletes still work. Tell your user to make room on that disk; then call this tool again. Deleting kubbis that are no longer needed (list, delete) makes room as well."
	case e.Code == api.CodeDamaged && consumer:
		return "This kubbi is damaged where it is kept, or somebody has changed it there, so nothing of it is given out. Ask the sender to send it again."
	case e.Code == api.CodeDamaged:
		return capital(ownMessage(e, "A kubbi of yours is damaged where it is kept, or somebody has changed it there. Delete it, and send it again."))
	case (e.Code == api.CodeInternal || e.Code == api.CodeUnavailable) && len(e.Messages) > 0 && !e.Uncertain && !e.Theirs():
		return sentences(append([]string{e.Message}, e.Messages...)) +
			" Tell your user. When it is mended, call this tool again: no restart is needed. Another folder can be given with --data-dir (KUBBI_DATA_DIR)."
	case errors.Is(e, context.Canceled) && e.Uncertain:
		return "The call was cancelled. " + afterNetwork(tool, true)
	case errors.Is(e, context.Canceled):
		return "The call was cancelled."
	case errors.Is(e, kubbi.ErrNetwork):
		return "The Kubbi service could not be reached: " + sentence(e.Message) + " " + afterNetwork(tool, e.Uncertain)
	case e.Code == api.CodeNotImplemented && tool == "request":
		return "Nothing was asked: " + sentence(ownMessage(e, "this service has no requests.")) + " Tell your user, and do not ask for a secret in a message instead."
	case e.Code == api.CodeNotImplemented:
		return "This service does not speak the API that kubbi-mcp needs. Your user should check --base-url (KUBBI_BASE_URL)."
	default:
		return fmt.Sprintf("The Kubbi service failed (HTTP status %d)%s %s", e.Status, reason(e), afterNetwork(tool, e.Uncertain))
	}
}

const burnedOrDeleted = "This kubbi was used up by its last claim, or deleted by its sender."

// reason ends a sentence with an error's message, if that is ours.
func reason(e *kubbi.Error) string {
	if e.Theirs() {
		return "."
	}
	return ": " + sentence(e.Message)
}

// afterNetwork says what to do if nobody knows what the service has done.
func afterNetwork(tool string, uncertain bool) string {
	switch {
	case uncertain && tool == "claim":
		return "The claim may have counted all the same. If you still want the content, claim again with the same claim_url within a minute: a relay that knows repeats then gives it and counts once."
	case uncertain && tool == "delete":
		return "It may have been deleted all the same: check with get before you try again."
	case uncertain && (tool == "send" || tool == "send_files"):
		return "It may have been stored all the same, without a claim URL; sending again is safe. If this goes on, tell your user."
	default:
		return "Try again; if this goes on, tell your user to check that the service is running and that --base-url (KUBBI_BASE_URL) is right."
	}
}

func waitFor(d time.Duration) string {
	if d <= 0 {
		return "Wait a minute, then try again."
	}
	d = min(d, 24*time.Hour)
	return fmt.Sprintf("Wait %d seconds, then try again.", int((d+time.Second-1)/time.Second))
}

// sentences makes a text from messages.
func sentences(messages []string) string {
	var all []string
	for _, m := range messages {
		all = append(all, capital(sentence(m)))
	}
	return strings.Join(all, " ")
}

// sentence makes a message end like one.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return "no reason was given."
	}
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

// capital makes a message start like a sentence.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
