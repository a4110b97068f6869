package origin_test

import (
	"net/url"
	"strings"
	"testing"

	"kubbi-mcp/internal/origin"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]struct{ text, address string }{
		"https://api.kubbi.ai":            {"https://api.kubbi.ai", "api.kubbi.ai:443"},
		" HTTPS://Api.Kubbi.ai/\n":        {"https://api.kubbi.ai", "api.kubbi.ai:443"},
		"https://h.example:443":           {"https://h.example", "h.example:443"},
		"https://h.example:0443":          {"https://h.example", "h.example:443"},
		"https://h.example:":              {"https://h.example", "h.example:443"},
		"https://h.example:80":            {"https://h.example:80", "h.example:80"},
		"http://127.0.0.1:7117/":          {"http://127.0.0.1:7117", "127.0.0.1:7117"},
		"http://relay_1:80":               {"http://relay_1", "relay_1:80"},
		"http://[0:0:0:0:0:0:0:1]":        {"http://[::1]", "[::1]:80"},
		"http://[::1]:7117":               {"http://[::1]:7117", "[::1]:7117"},
		"https://xn--kubb-epa.ai:65535":   {"https://xn--kubb-epa.ai:65535", "xn--kubb-epa.ai:65535"},
		"https://[2001:DB8::A]:443":       {"https://[2001:db8::a]", "[2001:db8::a]:443"},
		"https://[::ffff:127.0.0.1]:8443": {"https://[::ffff:127.0.0.1]:8443", "[::ffff:127.0.0.1]:8443"},
	} {
		got, err := origin.Parse(in)
		if err != nil || got.String() != want.text || got.Address() != want.address || got.String() != got.Scheme()+"://"+got.Host() {
			t.Errorf("Parse(%q) = %q at %q, %v; want %q at %q", in, got, got.Address(), err, want.text, want.address)
		}
		if again, err := origin.Parse(got.String()); err != nil || again != got {
			t.Errorf("%q does not parse as itself: %q, %v", got, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, says := range map[string]string{
		"": "has no scheme", "*": "has no scheme", "null": "has no scheme", "api.kubbi.ai": "has no scheme", "//h": "has no scheme",
		"https://h/path": "has more than", "https://h//": "has more than", "https://h?x": "has more than", "https://h#x": "has more than",
		"https://u:p@h": "has a user name", "https://u@h": "has a user name",
		"ws://h": "has another scheme", "file://h": "has another scheme", "://h": "has another scheme",
		"https://": "invalid host", "https://:443": "invalid host", "https://*.h.example": "invalid host", "https://h..example": "invalid host",
		"https://h.example.": "invalid host", "https://-h.example": "invalid host", "https://h-.example": "invalid host", "https://h%2eexample": "invalid host",
		"https://аpi.kubbi.ai": "xn--", "https://api。kubbi.ai": "xn--", "https://h\\@g": "user name", "https://h\\g": "invalid host", "https://h g": "invalid host",
		"https://2130706433": "invalid host", "https://127.1": "invalid host", "https://0x7f.0.0.1": "invalid host", "https://127.0.0.0x1": "invalid host", "https://0177.0.0.1": "invalid host",
		"https://" + strings.Repeat("a", 64) + ".ai": "invalid host", "https://" + strings.Repeat("a.", 127) + "ai": "invalid host",
		"https://[fe80::1%eth0]": "IPv6", "https://[::1": "IPv6", "https://[::1]evil": "IPv6", "https://[127.0.0.1]": "IPv6", "https://::1": "invalid host",
		"https://h:0": "invalid port", "https://h:65536": "invalid port", "https://h:+443": "invalid port", "https://h:443:1": "invalid port", "https://h:x": "invalid port",
	} {
		got, err := origin.Parse(in)
		if err == nil || got != (origin.Origin{}) || !strings.Contains(err.Error(), says) {
			t.Errorf("Parse(%q) = %q, %v; want an error that says %q", in, got, err, says)
		}
	}
	if s := (origin.Origin{}).String(); s != "" {
		t.Errorf("no origin prints as %q", s)
	}
}

func TestFromURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://H.example:443/r/x?y#z": "https://h.example",
		"http://[::1]:7117/":            "http://[::1]:7117",
		"https://me@h.example/":         "",
		"mailto:me@h.example":           "",
		"/r/x":                          "",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := origin.FromURL(u); got.String() != want || (err == nil) != (want != "") {
			t.Errorf("FromURL(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for in, want := range map[string]bool{
		"http://localhost:7117": true, "https://LOCALHOST": true, "http://127.0.0.2": true, "http://[::1]": true, "http://[::ffff:127.0.0.1]": true,
		"http://localhost.example": false, "http://0.0.0.0": false, "http://[::]": false, "http://10.0.0.1": false, "https://api.kubbi.ai": false,
	} {
		if o := parse(t, in); o.Loopback() != want || origin.LoopbackHost(o.Hostname()) != want {
			t.Errorf("%s: loopback is %v", in, o.Loopback())
		}
	}
	if origin.LoopbackHost("") {
		t.Error("no host is loopback")
	}
}

func TestSameLoopback(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"http://127.0.0.1:7117", "http://localhost:7117", true},
		{"http://[::1]:7117", "http://127.0.0.1:7117", true},
		{"http://localhost", "http://127.0.0.1:80", true},
		{"http://127.0.0.1:7117", "http://localhost:7118", false},
		{"http://127.0.0.1:7117", "https://localhost:7117", false},
		{"https://127.0.0.1:7117", "https://localhost:7117", false},
		{"http://127.0.0.1:7117", "http://127.0.0.2:7117", false},
		{"http://api.kubbi.ai", "http://api.kubbi.ai", false},
	} {
		a, b := parse(t, tt.a), parse(t, tt.b)
		if a.SameLoopback(b) != tt.want || b.SameLoopback(a) != tt.want {
			t.Errorf("%s and %s: want %v", a, b, tt.want)
		}
	}
}

func parse(t *testing.T, text string) origin.Origin {
	t.Helper()
	o, err := origin.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// FuzzParse: what is accepted has one printed form, which leads net/url to the same
// host.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"https://api.kubbi.ai", "HTTP://[::1]:0080/", "https://127.1", "https://h\\@g", "https://h:443:1", "http://[::ffff:1.2.3.4]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := origin.Parse(s)
		if err != nil {
			return
		}
		if again, err := origin.Parse(o.String()); err != nil || again != o {
			t.Fatalf("%q does not parse as itself: %q, %v", o, again, err)
		}
		u, err := url.Parse(o.String())
		if err != nil || u.Hostname() != o.Hostname() || u.Host != o.Host() || u.Scheme != o.Scheme() {
			t.Fatalf("net/url reads %q as %v, %v", o, u, err)
		}
		if given, err := url.Parse(strings.TrimSpace(s)); err == nil {
			if other, err := origin.FromURL(given); err != nil || other != o {
				t.Fatalf("%q gives %q, as a URL %q, %v", s, o, other, err)
			}
		}
	})
}
