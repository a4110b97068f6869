package store

import "time"

// InBatches runs a sweep of at most limit pieces of work, in transactions of at most batch
// pieces. do runs one transaction of at most n pieces, and returns how many it did. If it did
// fewer than n, the sweep is complete.
func InBatches(limit, batch int, do func(n int) (Swept, int, error)) (all Swept, err error) {
	for left := limit; left > 0; {
		n := min(left, batch)
		swept, pieces, err := do(n)
		if err != nil {
			return all, err
		}
		all.Expired += swept.Expired
		all.Wiped += swept.Wiped
		all.Removed += swept.Removed
		if pieces < n {
			return all, nil
		}
		left -= pieces
	}
	all.More = true
	return all, nil
}

// SweepBatch is one transaction of a sweep.
type SweepBatch struct {
	Now           Millis // due rows and graces
	EndedBefore   Millis // tombstones
	WindowsBefore Millis // windows of CountUses
	Limit         int

	Swept  Swept
	Pieces int // of work that were done
}

// NewSweepBatch makes a batch of at most limit pieces of work.
func NewSweepBatch(now time.Time, retention time.Duration, limit int) SweepBatch {
	return SweepBatch{Now: MillisOf(now), EndedBefore: MillisOf(now.Add(-retention)), WindowsBefore: MillisOf(now.Add(-windowLinger)), Limit: limit}
}

// Start resets the results of an earlier attempt.
func (b *SweepBatch) Start() { b.Swept, b.Pieces = Swept{}, 0 }

// Left is how many pieces of work may still be done.
func (b *SweepBatch) Left() int { return b.Limit - b.Pieces }

// Add counts a row after Row.Sweep and Row.Finish.
func (s *Swept) Add(r *Row, wiped bool) {
	switch _, expired := r.EndedBy(); {
	case expired:
		s.Expired++
	case wiped:
		s.Wiped++
	}
}
