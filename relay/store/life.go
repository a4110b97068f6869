package store

import "time"

// Life is the part of a kubbi that time and claims change.
type Life struct {
	Status                    Status
	Retrievals, MaxRetrievals int // MaxRetrievals 0: unlimited
	First, Last, Ended        Millis
	Expires                   Millis
	Sealed                    bool   // the secret is not wiped yet
	KeyUntil                  Millis // when the create's idempotency key expires; Never: there is none
}

// Millis is a time in milliseconds since 1970.
type Millis int64

// Never means that there is no time. It is less than every time.
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

// After is the time that is d later.
func (m Millis) After(d time.Duration) Millis { return m + Millis(d.Milliseconds()) }

// Expire makes an Active kubbi Expired if its ExpiresAt has come, and reports whether it did.
func (l *Life) Expire(now Millis) bool {
	if l.Status != Active || l.Expires > now {
		return false
	}
	l.Status, l.Ended = Expired, l.Expires
	return true
}

// Count counts a claim of an Active kubbi. The last allowed claim makes it Burned.
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

// rewind restores the life to what it was right after the claim of a grace was counted.
func (l *Life) rewind(g Grace) {
	l.Retrievals, l.Last = g.Number, g.At
	l.Status, l.Ended = Active, Never
	if l.MaxRetrievals > 0 && g.Number >= l.MaxRetrievals {
		l.Status, l.Ended = Burned, g.At
	}
}

// due is when a sweep must next change the kubbi; Never: not as far as is known now.
func (l *Life) due(lastGrace Millis) Millis {
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
