package store

import "time"

// SweepWork is the work of one Store.Sweep, which a backend does in one transaction.
type SweepWork struct {
	Now           Millis // due rows and graces
	EndedBefore   Millis // tombstones
	WindowsBefore Millis // windows of CountUses

	limit  int
	pieces int // that were done
	swept  Swept
}

// NewSweepWork makes the work of a Sweep with these arguments.
func NewSweepWork(now time.Time, retention time.Duration, limit int) SweepWork {
	return SweepWork{
		Now: MillisOf(now), EndedBefore: MillisOf(now.Add(-retention)), WindowsBefore: MillisOf(now.Add(-windowLinger)), limit: max(0, limit),
	}
}

// Start forgets what an earlier attempt has done.
func (w *SweepWork) Start() { w.pieces, w.swept = 0, Swept{} }

// Left is how many pieces of work may still be done.
func (w *SweepWork) Left() int { return w.limit - w.pieces }

// Did counts n pieces of work.
func (w *SweepWork) Did(n int) { w.pieces += n }

// Visited counts a row after Row.Sweep and Row.Finish.
func (w *SweepWork) Visited(r *Row, wiped bool) {
	w.Did(1)
	switch _, expired := r.EndedBy(); {
	case expired:
		w.swept.Expired++
	case wiped:
		w.swept.Wiped++
	}
}

// Removed counts n tombstones that were removed.
func (w *SweepWork) Removed(n int) {
	w.Did(n)
	w.swept.Removed += n
}

// Result is what was done.
func (w *SweepWork) Result() Swept {
	swept := w.swept
	swept.More = w.Left() == 0
	return swept
}
