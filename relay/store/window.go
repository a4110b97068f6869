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

// windowLinger is how long a window is kept after its end: a node whose clock is
// behind may still be in it.
const windowLinger = time.Hour

var errWindow = errors.New("window of less than a millisecond")

// NewWindow is the window of a length that now is in.
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

// DayWindow is the window of Quota.Daily. No caller's bucket is like its bucket:
// those are hashes of other things.
func DayWindow(owner string, now Millis) Window {
	w, _ := NewWindow(sha256.Sum256([]byte("kubbis of a day, created by "+owner)), 24*time.Hour, now)
	return w
}
