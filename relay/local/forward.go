package local

import (
	"context"
	"io"
	"net/http"
	"strings"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
)

// headerForwarded is on a request that the relay of another data directory passes
// on. It is never passed on again.
const headerForwarded = "Kubbi-Relay-Forwarded"

// forwardedHeaders are those of a request that another relay needs. No key of ours
// is among them.
var forwardedHeaders = []string{"Accept", "Content-Type", "Origin", "Sec-Fetch-Site", "User-Agent", api.HeaderIdempotencyKey}

// hopHeaders are those of an answer that belong to its connection.
var hopHeaders = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// claimToken is the token in the path of a consumer's request; empty in all others.
func claimToken(path string) string {
	rest, ok := strings.CutPrefix(path, api.PathClaim)
	if !ok {
		return ""
	}
	text, suffix, _ := strings.Cut(rest, "/")
	if _, _, ok := relay.SplitToken(text); !ok || suffix != "" && "/"+suffix != api.SuffixClaim && "/"+suffix != api.SuffixInspect {
		return ""
	}
	return text
}

// forward passes a request about a claim URL that was not made here on to
// whomToAsk. false means that there is nobody, and that nothing was answered.
func (r *Relay) forward(w http.ResponseWriter, req *http.Request, self identity) bool {
	token := claimToken(req.URL.Path)
	if token == "" || madeBy(self.public, token) || req.Header.Get(headerForwarded) != "" {
		return false
	}
	n := r.whomToAsk(req.Context(), token)
	if n == nil {
		return false
	}
	defer n.close()
	resp, err := n.ask(req.Context(), req)
	if err != nil {
		// It may have counted. The client sees that there was no answer, and asks again
		// under its key.
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 3 {
		return false // a relay never redirects
	}
	h := w.Header()
	for name, values := range resp.Header {
		h[name] = values
	}
	for _, name := range hopHeaders {
		h.Del(name)
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // a cut answer is not a whole one
	}
	return true
}

// ask sends a request on, over the connection that has proven whose it is.
func (n *neighbour) ask(ctx context.Context, req *http.Request) (*http.Response, error) {
	out, err := http.NewRequestWithContext(ctx, req.Method, "http://"+n.addr+req.URL.RequestURI(), req.Body)
	if err != nil {
		return nil, err
	}
	out.Host = req.Host
	out.ContentLength = req.ContentLength
	for _, name := range forwardedHeaders {
		if values := req.Header.Values(name); len(values) > 0 {
			out.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	out.Header.Set(headerForwarded, "1")
	return n.transport.RoundTrip(out)
}
