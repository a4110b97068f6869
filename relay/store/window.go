package store

import (
	"crypto/sha256"
	"errors"
	"time"
)

// Window is a window of CountUses. Times are in milliseconds.
type Window struct {
	Ends, Length int64
	Bucket       Hash
}

// windowLinger is how long a window is kept after its end. It may not have ended yet for a
// node whose clock is behind.
const windowLinger = time.Hour

var errWindow = errors.New("window of less than a millisecond")

// NewWindow gives the window of that length which contains now.
func NewWindow(bucket Hash, length time.Duration, now Millis) (Window, error) {
	if length < time.Millisecond {
		return Window{}, errWindow
	}
	n, l := int64(now), length.Milliseconds()
	start := n - n%l
	if start > n { // before 1970
		start -= l
	}
	return Window{Ends: start + l, Length: l, Bucket: bucket}, nil
}

// DayWindow is the window of Quota.Daily. Its bucket differs from those of all callers, which
// are hashes with other prefixes.
func DayWindow(owner string, now Millis) Window {
	w, _ := NewWindow(sha256.Sum256([]byte("kubbis of a day, created by "+owner)), 24*time.Hour, now)
	return w
}
