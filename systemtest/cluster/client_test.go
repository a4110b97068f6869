package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"kubbi-mcp/kubbi/api"
)

// attemptTime is how long a client waits for an answer.
const attemptTime = 20 * time.Second

// outcomes counts the results of the requests of many clients.
type outcomes struct {
	answered    atomic.Int64 // by the relay, with success or an error of the API
	claims      atomic.Int64 // of these, claims with a payload
	refused     atomic.Int64 // no connection: nothing was sent
	lost        atomic.Int64 // sent, and no whole answer
	unavailable atomic.Int64 // 503

	mu      sync.Mutex
	longest time.Duration // from the first attempt of a request to its answer
}

func (n *outcomes) String() string {
	return fmt.Sprintf("%d answers, %d claims; %d times no connection, %d times no answer, %d times 503; the longest wait %v",
		n.answered.Load(), n.claims.Load(), n.refused.Load(), n.lost.Load(), n.unavailable.Load(), n.longest.Round(time.Millisecond))
}

func (n *outcomes) took(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.longest = max(n.longest, d)
}

// stormKubbi is a kubbi that clients race for.
type stormKubbi struct {
	number int // of its create
	max    int
	id     string
	token  string
	used   atomic.Int32 // how often a client has chosen it

	mu      sync.Mutex
	history []porcupine.Operation
}

func (k *stormKubbi) record(client int, q asked, a answer, from, to time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	op := porcupine.Operation{ClientId: client, Input: q, Output: a, Call: int64(from), Return: int64(to)}
	if a.lost {
		op.Return = never
	}
	k.history = append(k.history, op)
}

// stormClient is one of many clients. It sends each request to a random node, and
// records every request, also repeated ones.
type stormClient struct {
	*storm
	id   int
	rand *rand.Rand
	http http.Client
}

func (s *storm) client(id int) *stormClient {
	return &stormClient{storm: s, id: id, rand: rand.New(rand.NewPCG(s.seed, uint64(id))), http: http.Client{Transport: s.transport}}
}

// reply is an answer with its whole body.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// errRefused is the error for a request that was not sent.
var errRefused = errors.New("no connection")

// send sends a request once, to a random node.
func (c *stormClient) send(ctx context.Context, method, path, key string, body []byte) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.nodes[c.rand.IntN(len(c.nodes))]+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", api.TypeJSON)
	if strings.HasPrefix(path, "/api/") {
		req.Header.Set("Authorization", "Bearer "+c.apiKey)
	}
	if key != "" {
		// net/http does not know this spelling, so that it does not repeat the request
		// by itself.
		req.Header[strings.ToLower(api.HeaderIdempotencyKey)] = []string{key}
	}
	resp, err := c.http.Do(req)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return reply{}, errRefused
	}
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return reply{resp.StatusCode, resp.Header, b}, err
}

// try sends a request once. It returns whether it was answered, and whether the node
// may have received it.
func (c *stormClient) try(ctx context.Context, method, path, key string, body []byte) (r reply, answered, sent bool) {
	r, err := c.send(ctx, method, path, key, body)
	switch {
	case errors.Is(err, errRefused):
		c.refused.Add(1)
		return r, false, false
	case err != nil:
		c.lost.Add(1)
		return r, false, true
	case r.status == http.StatusServiceUnavailable:
		c.unavailable.Add(1)
		if code, _ := fault(r); code != api.CodeUnavailable || r.header.Get("Retry-After") == "" {
			c.t.Errorf("%s: 503 with %s and Retry-After %q", method, r.body, r.header.Get("Retry-After"))
		}
		return r, false, true
	case r.status == http.StatusInsufficientStorage: // of a create, and nothing was stored
		c.unavailable.Add(1)
		if code, _ := fault(r); code != api.CodeStorageFull || path != api.PathKubbis {
			c.t.Errorf("%s: 507 with %s", method, r.body)
		}
		return r, false, false
	}
	c.answered.Add(1)
	return r, true, true
}

// ask sends a request about a kubbi until it is answered. With once, it sends the
// request only once and may get no answer.
func (c *stormClient) ask(ctx context.Context, k *stormKubbi, verb verb, key int, once bool) (a answer, answered bool) {
	q := asked{verb: verb, key: key, max: k.max}
	method, path, header := http.MethodPost, api.PathClaim+k.token+api.SuffixClaim, ""
	switch verb {
	case inspecting:
		method, path = http.MethodGet, api.PathClaim+k.token+api.SuffixInspect
	case getting:
		method, path = http.MethodGet, api.PathKubbi+k.id
	case deleting:
		method, path = http.MethodDelete, api.PathKubbi+k.id
	case releasing:
		method = http.MethodDelete
	}
	if key != 0 {
		header = c.keyText(key)
	}
	begun := c.now()
	for {
		from := c.now()
		r, answered, sent := c.try(ctx, method, path, header, nil)
		if answered {
			a := c.read(k, q, r)
			k.record(c.id, q, a, from, c.now())
			c.took(c.now() - begun)
			return a, true
		}
		if sent {
			k.record(c.id, q, answer{lost: true}, from, 0)
		}
		if sent && once || !c.pause(ctx, sent) {
			return answer{lost: true}, false
		}
	}
}

// pause waits before a request is repeated. It reports whether there is time for that.
func (c *stormClient) pause(ctx context.Context, sent bool) bool {
	wait := 5 * time.Millisecond // another node may be there
	if sent {
		wait = 50*time.Millisecond + time.Duration(c.rand.Int64N(int64(100*time.Millisecond)))
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// create makes a kubbi. With a key it repeats the request until it is answered. Without
// a key it gives up, and nobody knows whether the kubbi exists.
func (c *stormClient) create(ctx context.Context, number, max int, keyed bool) (*stormKubbi, bool) {
	request := api.CreateRequest{
		ContentType: api.TypeText, TTLSeconds: 3600,
		Content: quote(payload(number)), Metadata: fmt.Appendf(nil, `{"n":%d}`, number),
	}
	if max > 0 {
		request.MaxRetrievals = &max
	}
	body, err := json.Marshal(request)
	if err != nil {
		c.t.Error(err)
		return nil, false
	}
	key := ""
	if keyed {
		key = c.keyText(-number)
	}
	begun := c.now()
	for {
		r, answered, sent := c.try(ctx, http.MethodPost, api.PathKubbis, key, body)
		if answered {
			var made api.CreateResponse
			if err := json.Unmarshal(r.body, &made); err != nil || r.status != http.StatusCreated || made.ClaimToken == "" {
				c.t.Errorf("create: status %d, %.300s", r.status, r.body)
				return nil, false
			}
			c.took(c.now() - begun)
			return &stormKubbi{number: number, max: max, id: made.ID, token: made.ClaimToken}, true
		}
		if sent && !keyed || !c.pause(ctx, sent) {
			return nil, false
		}
	}
}

// read parses the answer to a request about a kubbi, and checks the payload.
func (c *stormClient) read(k *stormKubbi, q asked, r reply) answer {
	wrong := func() answer {
		c.t.Errorf("%s: status %d, %.300s", q.verb, r.status, r.body)
		return answer{lost: true}
	}
	if r.status/100 != 2 {
		code, message := fault(r)
		for _, status := range []api.Status{api.StatusBurned, api.StatusDeleted} {
			ended := code == api.CodeGone && (q.verb == claiming || q.verb == inspecting) || code == api.CodeConflict && q.verb == deleting
			if ended && strings.Contains(message, string(status)) {
				return answer{status: status}
			}
		}
		return wrong()
	}
	switch q.verb {
	case claiming:
		var got api.ClaimResponse
		if err := json.Unmarshal(r.body, &got); err != nil {
			return wrong()
		}
		if !bytes.Equal(got.Content, quote(payload(k.number))) {
			c.t.Errorf("claim: a payload of %d bytes that is not that of its create", len(got.Content))
		}
		a := answer{status: api.StatusActive, burned: got.Burned}
		left := r.header.Get(api.HeaderRemainingReads)
		if k.max > 0 {
			n, err := strconv.Atoi(left)
			if err != nil {
				return wrong()
			}
			a.number = k.max - n
		} else if left != api.Unlimited {
			return wrong()
		}
		c.claims.Add(1)
		return a
	case inspecting:
		var got api.InspectResponse
		if err := json.Unmarshal(r.body, &got); err != nil {
			return wrong()
		}
		return answer{status: got.Status, number: got.RetrievalCount}
	case getting:
		var got api.Kubbi
		if err := json.Unmarshal(r.body, &got); err != nil {
			return wrong()
		}
		return answer{status: got.Status, number: got.RetrievalCount}
	case deleting:
		return answer{status: api.StatusActive}
	}
	return answer{}
}

// fault parses an error answer.
func fault(r reply) (api.Code, string) {
	var body api.ErrorBody
	if err := json.Unmarshal(r.body, &body); err != nil {
		return "", ""
	}
	return body.Error, body.Message
}

// payload is the content of a create: mostly small, sometimes too large for an answer
// in one piece.
func payload(number int) string {
	size := 100 + number*37%4000
	if number%16 == 0 {
		size = 400_000
	}
	r := rand.New(rand.NewPCG(uint64(number), 0))
	b := make([]byte, size)
	for i := range b {
		b[i] = 'a' + byte(r.Uint32N(26))
	}
	return string(b)
}

// quote is a text as JSON.
func quote(text string) json.RawMessage { return json.RawMessage(`"` + text + `"`) }
