package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// waits are those after each failed attempt; after as many more, a notice is
// given up. They come to 27 hours and a half.
var waits = [...]time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute,
	2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
}

// maxRetryAfter bounds how long a receiver may ask to be left alone.
const maxRetryAfter = 10 * time.Hour

// next is how long to wait after a failed attempt; ok is false if there is to be
// none any more. attempts is how often the notice has been handed out, which
// may be more than the attempts that were made: it can't be further on its way
// than its age allows. A receiver that asks for more time gets it.
func next(attempts int, age, asked time.Duration) (_ time.Duration, ok bool) {
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

// putOff is how long a notice waits whose receiver has too much to do.
func putOff(attempts int) time.Duration {
	return jitter(min(30*time.Second<<min(attempts-1, 10), 30*time.Minute))
}

// jitter adds up to a fifth, so that what failed together does not come together
// again.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/5+1) }

// retryAfter is what a Retry-After header asks for: seconds or a date.
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
