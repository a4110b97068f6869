package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// waits are the waits after each failed attempt, about 27.5 hours in all. After the last
// wait there is one more attempt, and then the notice is given up.
var waits = [...]time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute,
	2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
}

// maxRetryAfter is the longest wait that a receiver may ask for.
const maxRetryAfter = 10 * time.Hour

// nextWait is how long to wait after a failed attempt; ok is false after the last one.
// attempts is how often the notice was leased, which may be more than the attempts that were
// made. So the age of the notice limits the step too. If the receiver asks for a longer wait,
// it gets that.
func nextWait(attempts int, age, asked time.Duration) (_ time.Duration, ok bool) {
	step := 0
	for step < min(attempts-1, len(waits)) && age >= waits[step] {
		age -= waits[step]
		step++
	}
	if step == len(waits) {
		return 0, false
	}
	return jitter(max(waits[step], min(asked, maxRetryAfter))), true
}

// slowHostWait is how long a notice waits if its receiver is slow.
func slowHostWait(attempts int) time.Duration {
	return jitter(min(30*time.Second<<min(attempts-1, 10), 30*time.Minute))
}

// jitter adds up to a fifth, so that notices which failed together are not tried
// together again.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/5+1) }

// retryAfter reads a Retry-After header: seconds or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return min(time.Duration(n), maxRetryAfter/time.Second) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
