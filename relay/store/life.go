package store

import "time"

// Life is the part of a kubbi that time and claims change, in the form that
// backends keep. What follows from it is decided here, once for all backends.
// Times are Millis.
type Life struct {
	Status                    Status
	Retrievals, MaxRetrievals int // MaxRetrievals 0: unlimited
	First, Last, Ended        Millis
	Expires                   Millis
	Sealed                    bool   // the secret is not wiped yet
	KeyUntil                  Millis // when the create's idempotency key is forgotten; Never: there is none
}

// Millis is a time in milliseconds since 1970.
type Millis int64

// Never stands for no time. It is before every time.
const Never Millis = -1 << 63

// MillisOf gives Never for the zero time.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return Never
	}
	return Millis(t.UnixMilli())
}

// Time gives the zero time for Never.
func (m Millis) Time() time.Time {
	if m == Never {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// After is m and a duration.
func (m Millis) After(d time.Duration) Millis { return m + Millis(d.Milliseconds()) }

// Grace is what is kept of a claim that was made with an idempotency key.
type Grace struct {
	Until  Millis // Never: there is none
	Number int    // of the retrieval
	At     Millis // when it was counted
}

// Settle makes an Active kubbi whose time has come Expired, as every call is to
// see it, and tells whether it did.
func (l *Life) Settle(now Millis) bool {
	if l.Status != Active || l.Expires > now {
		return false
	}
	l.Status, l.Ended = Expired, l.Expires
	return true
}

// Count counts a claim of an Active kubbi. The last one burns it.
func (l *Life) Count(now Millis) {
	l.Retrievals++
	l.Last = now
	if l.First == Never {
		l.First = now
	}
	if l.MaxRetrievals > 0 && l.Retrievals >= l.MaxRetrievals {
		l.Status, l.Ended = Burned, now
	}
}

// At makes it what it was right after the claim of a grace was counted.
func (l *Life) At(g Grace) {
	l.Retrievals, l.Last = g.Number, g.At
	l.Status, l.Ended = Active, Never
	if l.MaxRetrievals > 0 && g.Number >= l.MaxRetrievals {
		l.Status, l.Ended = Burned, g.At
	}
}

// Delete ends an Active kubbi.
func (l *Life) Delete(now Millis) { l.Status, l.Ended = Deleted, now }

// Wipes tells whether nothing needs the secret any more; lastGrace is when the
// last grace of a claim ends.
func (l *Life) Wipes(lastGrace, now Millis) bool {
	return l.Sealed && (l.Status == Deleted || l.Status != Active && lastGrace <= now)
}

// Due is when a sweep has work with it next, Never if time alone brings none;
// lastGrace is when the last grace of a claim ends.
func (l *Life) Due(lastGrace Millis) Millis {
	due := Never
	sooner := func(m Millis) {
		if m != Never && (due == Never || m < due) {
			due = m
		}
	}
	if l.Status == Active {
		sooner(l.Expires)
	}
	sooner(l.KeyUntil)
	if l.Sealed {
		sooner(lastGrace)
	}
	return due
}
