package webhook

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/dial"
	"kubbi-mcp/kubbi/api"
)

// TestSign signs the test vector of the specification's own libraries.
func TestSign(t *testing.T) {
	got, err := sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	if _, err := sign("whsec_?", "id", "1", nil); err == nil {
		t.Error("signed without a secret")
	}
}

func TestNextWait(t *testing.T) {
	var age time.Duration
	for i, want := range waits {
		got, ok := nextWait(i+1, age, 0)
		if !ok || got < want || got > want+want/5 {
			t.Errorf("after attempt %d: %v, %v, want about %v", i+1, got, ok, want)
		}
		age += got
	}
	if wait, ok := nextWait(len(waits)+1, age, 0); ok {
		t.Errorf("after the last attempt: %v", wait)
	}
	// Leased often in a short time: it was not tried as often.
	for _, tc := range []struct {
		attempts int
		age      time.Duration
		asked    time.Duration
		want     time.Duration
	}{
		{100, 0, 0, waits[0]},
		{100, waits[0], 0, waits[1]},
		{100, time.Hour, 0, waits[3]},
		{1, 1000 * time.Hour, 0, waits[0]}, // no node was there for weeks
		{1, 0, time.Minute, time.Minute},
		{3, time.Hour, time.Minute, waits[2]},
		{1, 0, 1000 * time.Hour, maxRetryAfter},
		{1, -time.Minute, 0, waits[0]}, // another node's clock is ahead
	} {
		got, ok := nextWait(tc.attempts, tc.age, tc.asked)
		if !ok || got < tc.want || got > tc.want+tc.want/5 {
			t.Errorf("%+v: %v, %v", tc, got, ok)
		}
	}
}

func TestSlowHostWait(t *testing.T) {
	for attempts, want := range map[int]time.Duration{1: 30 * time.Second, 2: time.Minute, 7: 30 * time.Minute, 1000: 30 * time.Minute} {
		if got := slowHostWait(attempts); got < want || got > want+want/5 {
			t.Errorf("%d: %v, want about %v", attempts, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "-1": 0, "x": 0, "7": 7 * time.Second, "999999999999": maxRetryAfter,
		"Sat, 28 Mar 2026 12:01:00 GMT": time.Minute, "Sat, 28 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestFault(t *testing.T) {
	var public Options
	inner := Options{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, tc := range []struct{ url, public, inner string }{
		{"https://example.com/a?b=c", "", ""},
		{"https://example.com", "", ""},
		{"HTTPS://example.com:8443/", "", ""},
		{"https://1.1.1.1/", "", ""},
		{"http://example.com/", "be https", ""}, // its address is checked later
		{"http://10.1.2.3/", "be https", ""},
		{"https://10.1.2.3/", "private or reserved", ""},
		{"https://[::ffff:10.1.2.3]/", "private or reserved", ""},
		{"http://1.1.1.1/", "be https", "plain http to addresses"},
		{"https://127.0.0.1/", "private or reserved", "private or reserved"},
		{"https://[::1]:443/", "private or reserved", "private or reserved"},
		{"https://169.254.169.254/latest/meta-data", "private or reserved", "private or reserved"},
		{"", "of the form", "of the form"},
		{"example.com", "of the form", "of the form"},
		{"https:example.com", "of the form", "of the form"},
		{"https:///path", "of the form", "of the form"},
		{"https://:443/", "of the form", "of the form"},
		{"https://example.com:port/", "of the form", "of the form"},
		{"ftp://example.com/", "of the form", "of the form"},
		{"https://u:p@example.com/", "user name", "user name"},
		{"https://example.com/#f", "fragment", "fragment"},
		{"https://example.com/#", "fragment", "fragment"},
		{"https://example.com/ x", "space", "space"},
		{"https://exämple.com/", "ASCII", "ASCII"},
		{"https://example.com/\r\nX: y", "control", "control"},
		{"https://example.com/" + strings.Repeat("a", api.MaxNotifyURL), "at most 2048 bytes", "at most 2048 bytes"},
	} {
		for _, o := range []struct {
			options *Options
			want    string
		}{{&public, tc.public}, {&inner, tc.inner}} {
			got := o.options.Fault(tc.url)
			if got == "" != (o.want == "") || !strings.Contains(got, o.want) {
				t.Errorf("%.60q, allowed %v: %q, want %q", tc.url, o.options.Allow, got, o.want)
			}
		}
	}
}

// TestReasonQuotesNothing has errors with a secret path in them.
func TestReasonQuotesNothing(t *testing.T) {
	for _, err := range []error{
		&url.Error{Op: "Post", URL: "https://h/s3cret", Err: errors.New(`malformed HTTP response "s3cret"`)},
		errors.New(`bad "s3cret"`),
	} {
		if got := reason(err); strings.Contains(got, "s3cret") || got == "" {
			t.Errorf("%q", got)
		}
	}
}

// TestPlainHTTPStaysInside checks that plain http to the public internet is refused before
// anything is sent.
func TestPlainHTTPStaysInside(t *testing.T) {
	s := New(Config{Options: Options{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}})
	for url, client := range map[string]*http.Client{
		"http://1.1.1.1:9/": s.plain, "http://127.0.0.1:9/": s.plain, "https://127.0.0.1:9/": s.https, "https://192.168.0.1:9/": s.https,
	} {
		resp, err := client.Get(url)
		if !errors.Is(err, dial.ErrAddress) {
			t.Errorf("%s: %v", url, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}
