package transport

import (
	"crypto/tls"
	"net/http"
	"testing"
)

// TestOwnOrigin tells this server's own pages from those of its name that came
// another way.
func TestOwnOrigin(t *testing.T) {
	g, err := NewWebGuard("", []string{"kubbi.example"}, []string{"https://app.example:443"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		origin string
		tls    bool
		ok     bool
	}{
		{"http://kubbi.example", false, true},
		{"https://kubbi.example", false, true}, // a proxy has the TLS
		{"https://kubbi.example", true, true},
		{"http://kubbi.example", true, false}, // whoever is on the way may have written it
		{"https://kubbi.example:444", true, false},
		{"ftp://kubbi.example", false, false},
		{"https://kubbi.example.evil.example", true, false},
		{"https://app.example", true, true},
		{"http://app.example", false, false},
		{"null", false, false},
	} {
		r := &http.Request{Host: "kubbi.example", Header: http.Header{"Origin": {tc.origin}}}
		if tc.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if p := g.Check(r); (p == nil) != tc.ok {
			t.Errorf("%s, TLS %v: %+v", tc.origin, tc.tls, p)
		}
	}
}
