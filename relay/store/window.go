package store

import (
	"crypto/sha256"
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

// NewWindow gives the window of that length, of at least a millisecond, which contains now.
func NewWindow(bucket Hash, length time.Duration, now Millis) Window {
	n, l := int64(now), length.Milliseconds()
	return Window{Ends: n - n%l + l, Length: l, Bucket: bucket}
}

// DayWindow is the window of Quota.Daily. Its bucket differs from those of all callers, which
// are hashes with other prefixes.
func DayWindow(owner string, now Millis) Window {
	return NewWindow(sha256.Sum256([]byte("kubbis of a day, created by "+owner)), 24*time.Hour, now)
}
