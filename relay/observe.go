package relay

import (
	"net/http"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// Observer is told what a relay does, as soon as it is done: for metrics. Its
// methods are called by many goroutines and must not wait.
type Observer interface {
	Request(Request)
	Sweep(swept store.Swept, took time.Duration, err error)
}

// Request is a request that was answered. None of it came from outside: its
// strings are out of a small number each.
type Request struct {
	Operation   Operation
	Outcome     string // OutcomeOK, the api.Code of the answer, or OutcomeAborted
	AnswerBytes int64
	Took        time.Duration
}

// The outcomes that are no api.Code.
const (
	OutcomeOK      = "ok"
	OutcomeAborted = "aborted" // the answer was cut off: the client went away, or a payload did not open
)

// Operation is what a request asks for.
type Operation string

// The operations.
const (
	OpCreate  Operation = "create"
	OpList    Operation = "list"
	OpGet     Operation = "get"
	OpDelete  Operation = "delete"
	OpPreview Operation = "preview"
	OpInspect Operation = "inspect"
	OpClaim   Operation = "claim"
	OpRelease Operation = "release"
	OpHealth  Operation = "health"
	OpOther   Operation = "other"
)

// Operations are all there are.
func Operations() []Operation {
	return []Operation{OpCreate, OpList, OpGet, OpDelete, OpPreview, OpInspect, OpClaim, OpRelease, OpHealth, OpOther}
}

// operation is that of a request which has found its route.
func operation(r *http.Request) Operation {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	switch method + " " + shape(r) {
	case "POST " + api.PathKubbis:
		return OpCreate
	case "GET " + api.PathKubbis:
		return OpList
	case "GET " + api.PathKubbi + "{id}":
		return OpGet
	case "DELETE " + api.PathKubbi + "{id}":
		return OpDelete
	case "GET " + api.PathClaim + "{token}":
		return OpPreview
	case "GET " + api.PathClaim + "{token}" + api.SuffixInspect:
		return OpInspect
	case "POST " + api.PathClaim + "{token}" + api.SuffixClaim:
		return OpClaim
	case "DELETE " + api.PathClaim + "{token}" + api.SuffixClaim:
		return OpRelease
	case "GET " + api.PathHealth:
		return OpHealth
	}
	return OpOther
}

// observe tells the observer of a request.
func (rl *Relay) observe(rec *recorder, r *http.Request, took time.Duration) {
	if rl.cfg.Observer == nil {
		return
	}
	outcome := OutcomeOK
	switch {
	case rec.abort:
		outcome = OutcomeAborted
	case rec.code != "":
		outcome = string(rec.code)
	}
	rl.cfg.Observer.Request(Request{Operation: operation(r), Outcome: outcome, AnswerBytes: rec.bytes, Took: took})
}
