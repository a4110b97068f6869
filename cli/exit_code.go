package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"kubbi-mcp/kubbi"
)

// The exit codes, in the order of the help and docs/use.md.
const (
	exitOK           = 0
	exitFailure      = 1
	exitUsage        = 2
	exitNotFound     = 3
	exitGone         = 4
	exitUnauthorized = 5
	exitOrigin       = 6
	exitNetwork      = 7
	exitLimited      = 8
	exitSealed       = 9
	exitInterrupted  = 130
)

const exitCodes = `
Exit codes:
  0    done
  1    any other failure
  2    wrong usage, configuration or input
  3    no such kubbi
  4    the kubbi has ended: expired, burned or deleted
  5    API key missing, wrong, expired or revoked
  6    the claim URL's origin is not allowed
  7    nobody answered: network failure, or the service is down
  8    rate limit or quota reached
  9    sealed, and the key in the claim URL is missing or does not open it
  130  interrupted
`

// exitError is an error that decides the exit code.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

// usage marks a mistake of the user, found before anything was done.
func usage(err error) error { return exitError{err, exitUsage} }

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

func isUsage(err error) bool {
	e, ok := errors.AsType[exitError](err)
	return ok && e.code == exitUsage
}

// ExitCode is the exit code for the error of Run; see docs/use.md.
func ExitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[childExit](err); ok {
		return e.code
	}
	if e, ok := errors.AsType[exitError](err); ok {
		return e.code
	}
	for _, c := range []struct {
		target error
		code   int
	}{
		{kubbi.ErrOrigin, exitOrigin},
		{kubbi.ErrSealed, exitSealed},
		{kubbi.ErrNotFound, exitNotFound},
		{kubbi.ErrExpired, exitGone},
		{kubbi.ErrGone, exitGone},
		{kubbi.ErrConflict, exitGone}, // the kubbi to delete has ended
		{kubbi.ErrUnauthorized, exitUnauthorized},
		{kubbi.ErrRateLimited, exitLimited},
		{kubbi.ErrQuotaExceeded, exitLimited},
		{kubbi.ErrNetwork, exitNetwork},
		{kubbi.ErrValidation, exitUsage},
	} {
		if errors.Is(err, c.target) {
			return c.code
		}
	}
	if e, ok := errors.AsType[*kubbi.Error](err); ok && e.Status >= 502 && e.Status <= 504 {
		return exitNetwork
	}
	return exitFailure
}

// Message is the text of an error of Run for a person, "" if there is nothing to say.
func Message(err error) string { return printable(err.Error() + cure(err)) }

// cure says what to do about an error of the client that does not say so itself.
func cure(err error) string {
	e, ok := errors.AsType[*kubbi.Error](err)
	switch {
	case !ok:
		return ""
	case errors.Is(e, kubbi.ErrNetwork):
		return "; check the address and the network: kubbi-mcp doctor, with the same flags, shows what it reaches"
	case errors.Is(e, kubbi.ErrNotFound) && (e.Theirs() || strings.Contains(e.Message, "no such ")):
		return "; compare it with what you were given, to the last character: it may be cut or changed, or it ended more than a day ago"
	case errors.Is(e, kubbi.ErrUnauthorized):
		return "; give another with --api-key or KUBBI_API_KEY"
	}
	return ""
}

// helpWithExitCodes prints kong's help. The help of the whole program ends with the exit
// codes.
func helpWithExitCodes(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if ctx.Selected() != nil {
		return nil
	}
	_, err := fmt.Fprint(ctx.Stdout, exitCodes)
	return err
}
