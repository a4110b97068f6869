package local

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kubbi-mcp/relay"
)

func introduced(t *testing.T, i identity, challenge []byte, at string) http.Header {
	t.Helper()
	addr, err := net.ResolveTCPAddr("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(addr)), "GET", "/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(headerChallenge, base64.RawURLEncoding.EncodeToString(challenge))
	h := http.Header{}
	i.introduce(h, req)
	return h
}

// TestProof checks that a proof is valid for one challenge, one address and one key.
func TestProof(t *testing.T) {
	a, b := newIdentity("kb_a"), newIdentity("kb_b")
	challenge := []byte(strings.Repeat("c", challengeBytes))
	here := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7117}
	h := introduced(t, a, challenge, "127.0.0.1:7117")
	if public, ok := proven(h, challenge, here); !ok || public != a.public {
		t.Fatal("a good proof is refused")
	}
	if again := newIdentity("kb_a"); again.public != a.public {
		t.Error("another process of the directory is another relay")
	}
	for name, ok := range map[string]bool{
		"another challenge": second(proven(h, []byte(strings.Repeat("d", challengeBytes)), here)),
		"another port":      second(proven(h, challenge, &net.TCPAddr{IP: here.IP, Port: 7118})),
		"another address":   second(proven(h, challenge, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 7117})),
		"another key":       second(proven(http.Header{headerID: {b.public}, headerProof: h[headerProof]}, challenge, here)),
		"no proof":          second(proven(http.Header{headerID: {a.public}}, challenge, here)),
		"no key":            second(proven(http.Header{headerProof: h[headerProof]}, challenge, here)),
		"a short challenge": len(introduced(t, a, challenge[1:], "127.0.0.1:7117")[headerProof]) > 0,
	} {
		if ok {
			t.Errorf("%s is taken", name)
		}
	}
}

func second(_ string, ok bool) bool { return ok }

// TestMadeBy checks that every bit of a token counts when it shows who made it.
func TestMadeBy(t *testing.T) {
	a, b := newIdentity("kb_a"), newIdentity("kb_b")
	head := []byte("24 bytes that are random")
	m := a.tokenMark(head)
	raw := append(head, m[:]...)
	token := base64.RawURLEncoding.EncodeToString(raw)
	if !madeBy(a.public, token) || madeBy(b.public, token) || madeBy("", token) {
		t.Error("the wrong relay made it")
	}
	for bit := range 8 * len(raw) {
		raw[bit/8] ^= 1 << (bit % 8)
		if madeBy(a.public, base64.RawURLEncoding.EncodeToString(raw)) {
			t.Errorf("with bit %d turned it still fits", bit)
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
	if _, _, ok := relay.SplitToken(token + "A"); ok {
		t.Error("a token that is too long")
	}
}

func TestAddresses(t *testing.T) {
	for origin, want := range map[string]string{
		"127.0.0.1:7117":  "[127.0.0.1:7117 127.0.0.1:17117 127.0.0.1:17118 127.0.0.1:17119 127.0.0.1:17120]",
		"[::1]:80":        "[[::1]:80 [::1]:10080 [::1]:10081 [::1]:10082 [::1]:10083]",
		"localhost:55532": "[localhost:55532 localhost:65532 localhost:65533 localhost:65534 localhost:65535]",
		"127.0.0.1:55533": "[127.0.0.1:55533 127.0.0.1:45533 127.0.0.1:45534 127.0.0.1:45535 127.0.0.1:45536]",
		"127.0.0.1:65535": "[127.0.0.1:65535 127.0.0.1:55535 127.0.0.1:55536 127.0.0.1:55537 127.0.0.1:55538]",
	} {
		if got := fmt.Sprint(addresses(origin)); got != want {
			t.Errorf("%s: %s", origin, got)
		}
	}
}

func TestClaimToken(t *testing.T) {
	token := strings.Repeat("A", 43)
	for path, want := range map[string]string{
		"/r/" + token: token, "/r/" + token + "/claim": token, "/r/" + token + "/inspect": token,
		"/r/" + token + "/": token, "/r/" + token + "/other": "", "/r/" + token[1:]: "", "/api/v1/kubbis": "", "/health": "", "/r/": "", "": "",
		"/q/" + token: token, "/q/" + token + "/": "", "/q/" + token + "/claim": "", "/q/" + token[1:]: "", "/q/": "",
	} {
		if got := claimToken(path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// TestListenerAt finds out who listens at an address.
func TestListenerAt(t *testing.T) {
	self, other := newIdentity("kb_self"), newIdentity("kb_other")
	answer := func(h http.HandlerFunc) string {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		return srv.Listener.Addr().String()
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	as := func(i identity) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { i.introduce(w.Header(), r) }
	}
	for name, tt := range map[string]struct {
		addr string
		want listener
	}{
		"nobody":                        {closed.Listener.Addr().String(), nobody},
		"another machine":               {"192.0.2.1:7117", nobody},
		"a process of this directory":   {answer(as(self)), ownProcess},
		"another directory's":           {answer(as(other)), otherDirectory},
		"a web server":                  {answer(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }), otherProgram},
		"one that cuts connections off": {answer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), otherProgram},
		"a team's relay": {answer(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"status":"ok","database":"connected","timestamp":"2026-11-29T00:00:00.000Z"}`)
		}), otherRelay},
	} {
		if got := listenerAt(t.Context(), tt.addr, self); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
