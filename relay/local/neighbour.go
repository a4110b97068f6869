package local

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"kubbi-mcp/kubbi/api"
)

// Relays of other data directories on this machine are found at the address of
// Origin, which one process holds, and at spare ports, at which the relays listen
// whose directory does not hold it.
const (
	sparePorts   = 4
	spareOffset  = 10_000          // from the port of Origin to the first spare one
	probeTimeout = 2 * time.Second // for whoever listens to say who it is
	maxMeeting   = 16              // that look for a neighbour at once
	maxHealth    = 4 << 10         // bytes of an answer to /health that are read
)

// addresses are where the relays of the machine may listen: Origin's, then the
// spare ones. They are the same for all relays of one Origin.
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

// neighbour is whoever listens at an address of this machine.
type neighbour struct {
	addr      string
	public    string // proven public key of its data directory; empty: it is no relay like this one
	api       bool   // it says that it is a relay of some kind
	transport *http.Transport
	conn      net.Conn // the only connection; set by dial
}

// errMoved says that the connection that somebody has proven to be theirs is gone.
var errMoved = errors.New("the connection to the relay of another data directory is gone")

// meet asks who listens at an address. Nothing secret is sent. An error means that
// nobody does, or that there is no answer. The caller closes the neighbour.
func meet(ctx context.Context, addr string) (*neighbour, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	n := &neighbour{addr: addr}
	// A transport of its own: no proxy stands before a loopback address, and what
	// is asked later goes over the very connection whose other end has proven who
	// it is, or nowhere.
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
	// Read to its end, so that the connection is free for what comes next.
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

// dial connects once, and to a loopback address only.
func (n *neighbour) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if n.conn != nil {
		return nil, errMoved
	}
	d := net.Dialer{Control: func(_, addr string, _ syscall.RawConn) error {
		if a, err := netip.ParseAddrPort(addr); err != nil || !a.Addr().Unmap().IsLoopback() {
			return fmt.Errorf("%s is not a loopback address", addr)
		}
		return nil
	}}
	conn, err := d.DialContext(ctx, network, addr)
	if err == nil {
		n.conn = conn
	}
	return conn, err
}

func (n *neighbour) close() { n.transport.CloseIdleConnections() }

// whomToAsk finds whom to ask about a token: the relay of another data directory on
// this machine that made it, and has proven so; else, where the user trusts the
// address, the relay of any kind that has it; else nil. The token is shown to nobody.
func (r *Relay) whomToAsk(ctx context.Context, token string) *neighbour {
	select {
	case r.meeting <- struct{}{}:
		defer func() { <-r.meeting }()
	case <-ctx.Done():
		return nil
	}
	if n := r.maker(ctx, token); n != nil || !r.cfg.TrustAddress {
		return n
	}
	n, err := meet(ctx, r.addr)
	if err == nil && (n.public != "" || !n.api) {
		n.close()
		n = nil
	}
	return n
}

// maker finds the relay that has proven that it made a token.
func (r *Relay) maker(ctx context.Context, token string) *neighbour {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := addresses(r.addr)
	met := make(chan *neighbour, len(all))
	for _, addr := range all {
		go func() {
			n, err := meet(ctx, addr)
			if err == nil && !madeBy(n.public, token) {
				n.close()
				n = nil
			}
			met <- n
		}()
	}
	var found *neighbour
	for range all {
		switch n := <-met; {
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
