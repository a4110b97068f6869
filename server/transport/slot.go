package transport

import (
	"errors"
	"sync"
)

// A call that waits for somebody else does no work meanwhile: a get with wait_seconds, a
// question to the user, a subscriptions/listen request. So it leaves its place to a call that
// works, and counts among those that wait, which have a limit of their own.

// waitsPerCall is how many calls may wait for each that may work.
const waitsPerCall = 4

// slot is the place of a call among those that its transport runs at once.
type slot struct {
	toWaits func() bool      // takes a place among those that wait, and gives back that of a call that works
	free    func(waits bool) // gives back the place

	mu           sync.Mutex
	waits, ended bool
}

// wait makes the call one that waits, until it ends. It reports whether there is room. For a
// call that has ended, whose work goes on as a task, it does nothing.
func (s *slot) wait() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waits && !s.ended {
		s.waits = s.toWaits()
		return s.waits
	}
	return true
}

func (s *slot) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		s.free(s.waits)
	}
}

// ErrTooManyWaits says that no more calls may wait at the same time.
var ErrTooManyWaits = errors.New("too many calls wait already")

// Wait says that the call waits for somebody else. From now on it does not keep other calls
// from running. The error is ErrTooManyWaits; then it still does.
func (c *Call) Wait() error {
	if c.slot != nil && !c.slot.wait() {
		return ErrTooManyWaits
	}
	return nil
}
