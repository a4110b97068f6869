package local

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/internal/dial"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
)

// One process of the machine listens at the address of Origin. The relays of other data
// directories listen at spare ports. So all relays of the machine can find each other.
const (
	sparePorts   = 4
	spareOffset  = 10_000          // from the port of Origin to the first spare port
	probeTimeout = 2 * time.Second // for the answer of a program
	maxSearches  = 16              // for a neighbour, at the same time
	maxHealth    = 4 << 10         // bytes of an answer to /health that are read
)

// addresses lists where the relays of the machine may listen: the address of Origin,
// then the spare ones. All relays of one Origin have the same list.
func addresses(origin string) []string {
	host, text, err := net.SplitHostPort(origin)
	port, perr := strconv.Atoi(text)
	if err != nil || perr != nil {
		return []string{origin}
	}
	first := port + spareOffset
	if first+sparePorts > 1<<16 {
		first = port - spareOffset
	}
	all := []string{origin}
	for i := range sparePorts {
		all = append(all, net.JoinHostPort(host, strconv.Itoa(first+i)))
	}
	return all
}

// claimToken is the claim token or request token in the path of a consumer's request, "" for
// other requests.
func claimToken(path string) string {
	rest, ok := strings.CutPrefix(path, api.PathClaim)
	if !ok {
		if rest, ok = strings.CutPrefix(path, api.PathAnswer); !ok || strings.Contains(rest, "/") {
			return ""
		}
	}
	text, suffix, _ := strings.Cut(rest, "/")
	if _, _, ok := relay.SplitToken(text); !ok || suffix != "" && "/"+suffix != api.SuffixClaim && "/"+suffix != api.SuffixInspect {
		return ""
	}
	return text
}

// headerForwarded marks a request that another relay has forwarded. Such a request is not
// forwarded again.
const headerForwarded = "Kubbi-Relay-Forwarded"

// forwardedHeaders are the headers that are forwarded to another relay. None of them holds an
// API key.
var forwardedHeaders = []string{"Accept", "Content-Type", "Origin", "Sec-Fetch-Site", "User-Agent", api.HeaderIdempotencyKey, api.HeaderPrefer, api.HeaderSeen}

var errNoAnswer = errors.New("the other relay does not know the token")

// forward forwards a request about a claim URL of another relay to that relay. It returns
// false, and has not answered, if the claim URL is this relay's own or no relay knows it.
func (r *Relay) forward(w http.ResponseWriter, req *http.Request, self identity) (answered bool) {
	token := claimToken(req.URL.Path)
	if token == "" || madeBy(self.public, token) || req.Header.Get(headerForwarded) != "" {
		return false
	}
	n := r.neighbourWith(req.Context(), token)
	if n == nil {
		return false
	}
	defer n.close()
	answered = true
	proxy := httputil.ReverseProxy{
		Transport: n.transport,
		ErrorLog:  slog.NewLogLogger(r.cfg.Logger.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", n.addr
			p.Out.Header = http.Header{headerForwarded: {"1"}}
			for _, name := range forwardedHeaders {
				if values := p.In.Header.Values(name); len(values) > 0 {
					p.Out.Header[http.CanonicalHeaderKey(name)] = values
				}
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Del("Set-Cookie")
			// A relay never redirects. For an unknown token, this relay tells its own user more.
			if resp.StatusCode/100 == 3 || resp.StatusCode == http.StatusNotFound && inProcess(req) {
				return errNoAnswer
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			if answered = !errors.Is(err, errNoAnswer); answered {
				// A claim may have counted. The client sees that there was no answer, and tries
				// again with the same key.
				panic(http.ErrAbortHandler)
			}
		},
	}
	proxy.ServeHTTP(w, req)
	return answered
}

// neighbour is a program that listens at an address of this machine.
type neighbour struct {
	addr      string
	public    string // proven public key of its data directory; empty: it is not an embedded relay
	api       bool   // its /health answers like a relay's
	transport *http.Transport
	conn      net.Conn // the only connection; set by dial
}

var errConnectionGone = errors.New("the connection to the relay of another data directory is gone")

// probe identifies the program at an address. It sends no secrets. An error means that no
// program listens there, or that it did not answer. The caller closes the neighbour.
func probe(ctx context.Context, addr string) (*neighbour, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	n := &neighbour{addr: addr}
	// The transport has one connection and no proxy. So a forwarded request can only go to
	// the program that has proven its identity.
	n.transport = &http.Transport{DialContext: n.dial, MaxResponseHeaderBytes: 16 << 10, DisableCompression: true}
	challenge := make([]byte, challengeBytes)
	if _, err := rand.Read(challenge); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+api.PathHealth, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(headerChallenge, base64.RawURLEncoding.EncodeToString(challenge))
	resp, err := n.transport.RoundTrip(req)
	if err != nil {
		n.close()
		return nil, err
	}
	// The connection can be used again only if the body is read to its end.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHealth))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		n.close()
		return nil, err
	}
	if public, ok := proven(resp.Header, challenge, n.conn.RemoteAddr()); ok {
		n.public = public
	}
	var health api.Health
	n.api = json.Unmarshal(body, &health) == nil && health.Status != "" && health.Database != ""
	return n, nil
}

// dial connects once, and only to a loopback address.
func (n *neighbour) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if n.conn != nil {
		return nil, errConnectionGone
	}
	d := dial.NewDialer()
	dial.Guard(d, func(a netip.Addr) bool { return a.Unmap().IsLoopback() })
	conn, err := d.DialContext(ctx, network, addr)
	if err == nil {
		n.conn = conn
	}
	return conn, err
}

func (n *neighbour) close() { n.transport.CloseIdleConnections() }

// neighbourWith finds the relay that may know a token; nil: there is none. That is a relay of
// another data directory on this machine, which has proven that it made the token. If there
// is none and the user trusts the address of Origin, it is any relay that listens there. The
// search does not send the token to any program.
func (r *Relay) neighbourWith(ctx context.Context, token string) *neighbour {
	select {
	case r.searching <- struct{}{}:
		defer func() { <-r.searching }()
	case <-ctx.Done():
		return nil
	}
	if n := r.makerOf(ctx, token); n != nil || !r.cfg.TrustAddress {
		return n
	}
	n, err := probe(ctx, r.addr)
	if err == nil && (n.public != "" || !n.api) {
		n.close()
		n = nil
	}
	return n
}

// makerOf finds the relay that has proven that it made a token.
func (r *Relay) makerOf(ctx context.Context, token string) *neighbour {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := addresses(r.addr)
	probed := make(chan *neighbour, len(all))
	for _, addr := range all {
		go func() {
			n, err := probe(ctx, addr)
			if err == nil && !madeBy(n.public, token) {
				n.close()
				n = nil
			}
			probed <- n
		}()
	}
	var found *neighbour
	for range all {
		switch n := <-probed; {
		case n == nil:
		case found == nil:
			found = n
			cancel() // the others need not answer
		default:
			n.close()
		}
	}
	return found
}

// howToShare says what to do if a claim URL comes from another machine.
const howToShare = "two machines hand over through a relay that both reach: run kubbi-mcp relay on one of them, or use the hosted service, " +
	"set KUBBI_BASE_URL (--base-url) and KUBBI_API_KEY (--api-key) on both, and let the sender send it again"

// whyUnknown explains to the user of this process why a token is unknown: its kubbi ended
// long ago, or another relay made it.
func (r *Relay) whyUnknown(ctx context.Context, self identity, token string) []string {
	if madeBy(self.public, token) {
		return []string{"it was made here, has ended long ago, and is wiped", "ask the sender for a new one"}
	}
	why := []string{"it was not made in this kubbi-mcp's data directory, nor by another kubbi-mcp that runs on this machine now"}
	switch listenerAt(ctx, r.addr, self) {
	case otherProgram:
		why = append(why, "the address "+r.addr+" is held by another program")
	case otherRelay:
		if r.cfg.TrustAddress {
			return []string{"the relay that has the address " + r.addr + " does not know it either", "ask the sender for a new one"}
		}
		why = append(why, fmt.Sprintf("the address %s is held by another program, a relay of some kind: your user can allow it with --allow-origin %s (KUBBI_ALLOW_ORIGINS)", r.addr, r.origin))
	}
	return append(why,
		"a claim URL with the address "+r.addr+" works only on the machine, or in the container, where it was made, and while a kubbi-mcp of the same user or host runs there",
		howToShare)
}
