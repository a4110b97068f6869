package claims

import (
	"errors"
	"fmt"
	"time"

	"kubbi-mcp/kubbi"
)

// ErrNoRepeat is the error of RepeatOnly if there is no claim to repeat.
var ErrNoRepeat = errors.New("there is no claim to repeat")

// AlreadyClaimed says that the kubbi is used up, and that the caller got its payload
// in the answer to an earlier claim.
type AlreadyClaimed struct {
	Left time.Duration // how long the claim can be repeated
}

func (a *AlreadyClaimed) Error() string {
	return fmt.Sprintf("claimed already; it can be had again for %d seconds", int(a.Left.Seconds()))
}

// Unsaved says that a claim has counted, that its payload could not be saved or shown,
// and where the payload is now.
type Unsaved struct {
	Err   error
	Grace time.Duration // how long a repeated claim gets it; 0: it does not
	Kept  string        // a file with the service's answer, JSON with the payload in it; "": none
}

// Error gives a text for people.
func (u *Unsaved) Error() string {
	text := "claimed, but not saved: " + u.Err.Error()
	switch {
	case u.Kept != "":
		return text + fmt.Sprintf("; it is not lost: the service's answer, JSON with the payload in it, is in %s for a day", u.Kept)
	case u.Grace > 0:
		return text + fmt.Sprintf("; it is not lost: claim again within %d seconds, which counts once", int(u.Grace.Seconds()))
	}
	return text
}

// Unwrap gives what went wrong.
func (u *Unsaved) Unwrap() error { return u.Err }

// UnknownID is the error for an id for which no claim URL is kept. It matches
// kubbi.ErrNotFound.
type UnknownID struct{}

func (UnknownID) Error() string {
	return "no claim URL is kept for this id: it was claimed for good, has expired or was deleted, or it was sent without a handle; such a kubbi needs its claim URL"
}

// Is makes the error match kubbi.ErrNotFound.
func (UnknownID) Is(target error) bool { return target == kubbi.ErrNotFound }
