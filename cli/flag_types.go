package cli

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// seconds is a duration in whole seconds. A user gives a number of seconds, or a Go
// duration that may begin with days.
type seconds time.Duration

// maxSeconds keeps time arithmetic far from an overflow.
const maxSeconds = 366 * 24 * 60 * 60

// UnmarshalText reads "600", "10m" or "1d12h".
func (s *seconds) UnmarshalText(text []byte) error {
	v := strings.TrimSpace(string(text))
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		d, err := parseDuration(v)
		if err != nil || d%time.Second != 0 {
			return fmt.Errorf("%q is not a time in whole seconds, such as 600, 10m or 1d", v)
		}
		n = int64(d / time.Second)
	}
	if n < 1 || n > maxSeconds {
		return fmt.Errorf("%q is not between 1 second and 366 days", v)
	}
	*s = seconds(time.Duration(n) * time.Second)
	return nil
}

var daysRule = regexp.MustCompile(`^([0-9]{1,5})d(.*)$`)

// parseDuration reads a Go duration that may begin with days of 24 hours.
func parseDuration(v string) (time.Duration, error) {
	m := daysRule.FindStringSubmatch(v)
	if m == nil {
		return time.ParseDuration(v)
	}
	days, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, err
	}
	rest := time.Duration(0)
	if m[2] != "" {
		if rest, err = time.ParseDuration(m[2]); err != nil {
			return 0, err
		}
	}
	if rest < 0 || rest >= 24*time.Hour {
		return 0, fmt.Errorf("%q has more than a day behind its days", v)
	}
	return time.Duration(days)*24*time.Hour + rest, nil
}

func (s seconds) int() int                { return int(time.Duration(s) / time.Second) }
func (s seconds) duration() time.Duration { return time.Duration(s) }

// logLevel is a slog.Level, or unset.
type logLevel struct {
	set   bool
	level slog.Level
}

// UnmarshalText reads one of slog's four names, in any case.
func (l *logLevel) UnmarshalText(text []byte) error {
	switch v := strings.ToLower(string(text)); v {
	case "debug", "info", "warn", "error":
		l.set = true
		return l.level.UnmarshalText(text)
	case "warning":
		*l = logLevel{set: true, level: slog.LevelWarn}
		return nil
	default:
		return fmt.Errorf("%q is not debug, info, warn or error", v)
	}
}

// logFormat is "text" or "json".
type logFormat string

// UnmarshalText reads "text" or "json", in any case.
func (f *logFormat) UnmarshalText(text []byte) error { return unmarshalWord(f, text, "text", "json") }

// transportName is "stdio" or "http".
type transportName string

// UnmarshalText reads "stdio" or "http", in any case.
func (t *transportName) UnmarshalText(text []byte) error {
	return unmarshalWord(t, text, "stdio", "http")
}

func unmarshalWord[T ~string](to *T, text []byte, words ...string) error {
	word := strings.ToLower(string(text))
	if !slices.Contains(words, word) {
		return fmt.Errorf("%q is not %s", word, strings.Join(words, " or "))
	}
	*to = T(word)
	return nil
}

// expiry is a time, or a duration from now. The zero value is never.
type expiry struct {
	at time.Time
	in time.Duration
}

// UnmarshalText reads "12h", "90d", "2027-01-31" or "2027-01-31T12:00:00Z".
func (e *expiry) UnmarshalText(text []byte) error {
	v := strings.TrimSpace(string(text))
	if d, err := parseDuration(v); err == nil && d > 0 {
		e.in = d
		return nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, v); err == nil {
			e.at = at.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is not a duration such as 12h or 90d, a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z", v)
}

func (e expiry) zero() bool { return e.at.IsZero() && e.in == 0 }

func (e expiry) after(now time.Time) time.Time {
	if e.in != 0 {
		return now.Add(e.in)
	}
	return e.at
}

// byteSize is a number of bytes. A user may give it in KiB, MiB or GiB.
type byteSize int64

// UnmarshalText reads "1048576" or "1MiB".
func (b *byteSize) UnmarshalText(text []byte) error {
	v := strings.TrimSpace(string(text))
	unit := int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if number, ok := strings.CutSuffix(v, suffix); ok {
			v, unit = number, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is not a size in bytes, such as 1048576 or 1MiB", text)
	}
	*b = byteSize(n * unit)
	return nil
}
