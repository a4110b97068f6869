package api

import (
	"fmt"
	"time"
)

// TimeLayout is RFC 3339 in UTC with milliseconds, such as 2026-03-28T12:00:00.000Z.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Time is a time as the API writes it: UTC, cut to the millisecond.
type Time struct{ time.Time }

// NewTime gives t in UTC, cut to the millisecond.
func NewTime(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// OptionalTime is NewTime, and nil (null on the wire) for the zero time.
func OptionalTime(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	v := NewTime(t)
	return &v
}

// String is the time in TimeLayout.
func (t Time) String() string { return t.UTC().Format(TimeLayout) }

// MarshalJSON writes the time in TimeLayout.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(TimeLayout)+2)
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, TimeLayout)
	return append(b, '"'), nil
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("time is not a string")
	}
	v, err := time.Parse(time.RFC3339Nano, string(b[1:len(b)-1]))
	if err != nil {
		return fmt.Errorf("time is not RFC 3339")
	}
	t.Time = v.UTC()
	return nil
}
