package cli

import (
	"testing"
	"time"
)

func TestByteSize(t *testing.T) {
	for in, want := range map[string]byteSize{"0": 0, "1048576": 1 << 20, " 1MiB ": 1 << 20, "3KiB": 3 << 10, "2GiB": 2 << 30} {
		var b byteSize
		if err := b.UnmarshalText([]byte(in)); err != nil || b != want {
			t.Errorf("%q: got %d, %v", in, b, err)
		}
	}
	for _, in := range []string{"", "x", "1MB", "-1", "1.5MiB", "MiB", "9999999999999GiB", "99999999999999999999"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is %d", in, b)
		}
	}
}

func TestSeconds(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"60": time.Minute, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "24h": 24 * time.Hour, " 5 ": 5 * time.Second,
		"1d": 24 * time.Hour, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour, "12h": 12 * time.Hour, "90m": 90 * time.Minute, "3600": time.Hour,
	} {
		var s seconds
		if err := s.UnmarshalText([]byte(in)); err != nil || s.duration() != want || s.int() != int(want/time.Second) {
			t.Errorf("%q: %v, %v", in, s.duration(), err)
		}
	}
	for _, in := range []string{"", "0", "-1", "1.5", "1500ms", "10 m", "9223372036854775807", "300000h", "1e3", "ten", "d", "1d1", "1 d", "1.5d", "1d24h", "1d-1h", "1h1d", "-1d", "367d", "99999d"} {
		var s seconds
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is taken as %v", in, s.duration())
		}
	}
}

func TestExpiry(t *testing.T) {
	for text, want := range map[string]time.Time{
		"90d":                       noon.AddDate(0, 0, 90),
		"1d":                        noon.AddDate(0, 0, 1),
		"12h":                       noon.Add(12 * time.Hour),
		"1h30m":                     noon.Add(90 * time.Minute),
		" 2027-01-31 ":              time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
		"2027-01-31T12:00:00Z":      time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC),
		"2027-01-31T12:00:00+02:00": time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC),
	} {
		var e expiry
		if err := e.UnmarshalText([]byte(text)); err != nil || e.zero() || !e.after(noon).Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, e.after(noon), err, want)
		}
	}
	for _, text := range []string{"", "90", "d", "-1d", "0d", "0h", "-1h", "1.5d", "99999999999d", "2027-02-30", "2027-01-31T12:00:00", "soon"} {
		var e expiry
		if err := e.UnmarshalText([]byte(text)); err == nil || !e.zero() {
			t.Errorf("%q is taken for %v", text, e.after(noon))
		}
	}
}
