package tools

import (
	"context"
	"errors"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/args"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

// Call describes a call that has ended. It holds nothing that came from outside.
type Call struct {
	Tool        string // without the prefix
	Took        time.Duration
	Outcome     string // OutcomeOK, another of these, or a code of the Kubbi API
	AnswerBytes int    // of the content in the result
}

// Outcomes of a call that are no codes of the Kubbi API.
const (
	OutcomeOK           = "ok"
	OutcomeBadArguments = "bad_arguments"  // refused before anything was sent
	OutcomeOrigin       = "origin_refused" // the claim URL's origin is not allowed
	OutcomeNetwork      = "network"        // no answer of the Kubbi API, or half of one
	OutcomeService      = "service_error"  // an answer that is not in the Kubbi API
	OutcomeUnsaved      = "unsaved"        // claimed, and neither saved nor shown
	OutcomeTimeout      = "timeout"        // the call's own time was up
	OutcomeCancelled    = "cancelled"
	OutcomeAsked        = "asked"    // the host or the user is asked first, and the call is made again
	OutcomeInternal     = "internal" // a fault of ours
)

// outcome gives the Outcome of a call that ended with err.
func outcome(err error) string {
	if err == nil {
		return OutcomeOK
	}
	if own, ok := errors.AsType[*toolError](err); ok {
		return own.outcome
	}
	kerr, ofClient := errors.AsType[*kubbi.Error](err)
	switch {
	case errors.As(err, new(*claims.Unsaved)):
		return OutcomeUnsaved
	case errors.As(err, new(*claims.AlreadyClaimed)):
		return string(api.CodeGone)
	case errors.As(err, new(claims.UnknownID)):
		return string(api.CodeNotFound)
	case errors.As(err, new(args.Error)), errors.As(err, new(files.Refusal)):
		return OutcomeBadArguments
	case ofClient && api.Statuses[kerr.Code] != 0:
		return string(kerr.Code)
	case errors.Is(err, kubbi.ErrOrigin):
		return OutcomeOrigin
	case errors.Is(err, context.Canceled):
		return OutcomeCancelled
	case errors.Is(err, kubbi.ErrNetwork):
		return OutcomeNetwork
	case errors.Is(err, context.DeadlineExceeded):
		return OutcomeTimeout
	case ofClient:
		return OutcomeService
	default:
		return OutcomeInternal
	}
}
