package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anishathalye/porcupine"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

const (
	requestClients = 12
	requestSlots   = 3  // requests that are raced for at the same time
	requestUses    = 24 // turns after which another request takes a slot
)

// The calls about a request.
const (
	answering   verb = "answer"
	asking      verb = "get request"
	questioning verb = "question"
	withdrawing verb = "withdraw"
)

// requestCall is one call about a request, sent once.
type requestCall struct {
	verb  verb
	n     int  // answer: its number, which is its content; claim: its key
	keyed bool // answer: with a key, which belongs to its number
}

// requestResult is the result of a call. status is what it says about the request; for a claim
// of the answer, "answered" or why there is none.
type requestResult struct {
	lost   bool
	status api.RequestStatus
	done   bool // answer, withdraw: it did it
	n      int  // claim: the content
}

// requestState is a request as it is promised.
type requestState struct {
	status  api.RequestStatus
	by      int // the answer that was taken
	claimed int // the key that has claimed it; 0: none
}

// step applies a call, and tells whether the result is possible.
func (s requestState) step(q requestCall, a requestResult) (bool, requestState) {
	before := s.status
	switch q.verb {
	case answering:
		if before == api.RequestPending {
			s.status, s.by = api.RequestAnswered, q.n
		}
		done := s.status == api.RequestAnswered && s.by == q.n && (before == api.RequestPending || q.keyed)
		return a.lost || a.done == done && a.status == s.status, s
	case withdrawing:
		if before == api.RequestPending {
			s.status = api.RequestWithdrawn
		}
		return a.lost || a.done == (before == api.RequestPending) && a.status == s.status, s
	case claiming:
		if before == api.RequestPending {
			return a.lost || a.status == "not_found", s
		}
		if before == api.RequestWithdrawn { // there may have been an answer that came too late
			return a.lost || a.n == 0 && a.status != api.RequestAnswered, s
		}
		if s.claimed == 0 {
			s.claimed = q.n
		}
		if s.claimed != q.n {
			return a.lost || a.n == 0 && a.status == "burned", s
		}
		return a.lost || a.n == s.by, s
	}
	return a.lost || a.status == before, s
}

var requestModel = porcupine.Model{
	Init: func() any { return requestState{status: api.RequestPending} },
	Step: func(state, input, output any) (bool, any) {
		return state.(requestState).step(input.(requestCall), output.(requestResult))
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}

// raced is a request that clients race for.
type raced struct {
	api.AskResponse
	used    atomic.Int32
	mu      sync.Mutex
	history []porcupine.Operation
}

// requestStorm is a race of many clients for the same requests, beside a storm.
type requestStorm struct {
	*storm
	c       *cluster
	over    atomic.Bool
	clients sync.WaitGroup
	next    atomic.Int64 // numbers of answers, and of keys

	mu       sync.Mutex
	slots    [requestSlots]*raced
	requests []*raced
}

// startRequests starts clients that race for requests.
func startRequests(ctx context.Context, c *cluster) *requestStorm {
	s := newStorm(c.t, c.origins(), c.newKey("requests"))
	rs := &requestStorm{storm: s, c: c}
	for i := range requestClients {
		c := s.client(1000 + i)
		rs.clients.Go(func() {
			for !rs.over.Load() && ctx.Err() == nil && !s.t.Failed() {
				rs.turn(ctx, c)
			}
		})
	}
	return rs
}

// finish ends the race, and checks the history of every request.
func (rs *requestStorm) finish(ctx context.Context) {
	rs.t.Helper()
	rs.over.Store(true)
	rs.clients.Wait()
	calls, taken, broken := 0, 0, false
	for _, r := range rs.requests {
		c := rs.client(2000)
		rs.call(ctx, c, r, requestCall{verb: asking}, false)
		rs.call(ctx, c, r, requestCall{verb: claiming, n: rs.newNumber()}, false)
		calls += len(r.history)
		if result, info := porcupine.CheckOperationsVerbose(requestModel, r.history, testkit.Patience); result != porcupine.Ok {
			rs.t.Errorf("the history of a request: %s", result)
			picture(rs.t, requestModel, info)
		}
		for _, op := range r.history {
			if a := op.Output.(requestResult); a.done && op.Input.(requestCall).verb == answering {
				taken++
				// The check finds a second answer that is taken.
				again := op
				again.Input = requestCall{verb: answering, n: rs.newNumber()}
				if !broken && porcupine.CheckOperations(requestModel, append(r.history[:len(r.history):len(r.history)], again)) {
					rs.t.Error("the check does not see that a request was answered twice")
				}
				broken = true
				break
			}
		}
	}
	if taken == 0 || taken == len(rs.requests) && taken > 20 { // a slow machine makes few
		rs.t.Errorf("of %d requests %d were answered", len(rs.requests), taken)
	}
	for _, n := range rs.c.nodes {
		log := n.log.String()
		for _, r := range rs.requests[:min(50, len(rs.requests))] {
			if strings.Contains(log, r.RequestURL[len(r.RequestURL)-43:]) || strings.Contains(log, r.ClaimURL[len(r.ClaimURL)-43:]) {
				rs.t.Error("a token in a log")
			}
		}
	}
	rs.t.Logf("%d requests, %d of them answered, %d calls, %d without an answer", len(rs.requests), taken, calls, rs.lost.Load())
}

func (rs *requestStorm) newNumber() int { return int(rs.next.Add(1)) }

// turn makes one call about a request that other clients use, too.
func (rs *requestStorm) turn(ctx context.Context, c *stormClient) {
	r := rs.use(ctx, c, c.rand.IntN(requestSlots))
	if r == nil {
		return
	}
	q := requestCall{verb: asking}
	once := c.rand.IntN(4) == 0
	switch n := c.rand.IntN(100); {
	case n < 40:
		q = requestCall{verb: answering, n: rs.newNumber(), keyed: !once}
		if rs.call(ctx, c, r, q, once); q.keyed && c.rand.IntN(4) == 0 { // its result was lost, too
			rs.call(ctx, c, r, q, false)
		}
		return
	case n < 60:
		q = requestCall{verb: claiming, n: rs.newNumber()}
	case n < 75:
		q.verb = questioning
	case n < 82:
		q.verb = withdrawing
	}
	rs.call(ctx, c, r, q, once)
}

// use gives the request of a slot, and replaces one that was used enough.
func (rs *requestStorm) use(ctx context.Context, c *stormClient, slot int) *raced {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.slots[slot]
	if r != nil && r.used.Add(1) <= requestUses {
		return r
	}
	key, made := rs.keyText(-1_000_000-rs.newNumber()), &raced{}
	for {
		got, answered, sent := c.try(ctx, http.MethodPost, api.PathRequests, key, []byte(`{"message":"storm","files":true,"ttl_seconds":3600}`))
		if answered {
			if err := json.Unmarshal(got.body, &made.AskResponse); err != nil || got.status != http.StatusCreated {
				rs.t.Errorf("ask: status %d, %.300s", got.status, got.body)
				return nil
			}
			break
		}
		if !c.pause(ctx, sent) {
			return nil
		}
	}
	rs.slots[slot] = made
	rs.requests = append(rs.requests, made)
	return made
}

// call makes a call about a request until it has a result, and records it. With once, it makes
// the call only once.
func (rs *requestStorm) call(ctx context.Context, c *stormClient, r *raced, q requestCall, once bool) {
	question, claim := r.RequestURL[strings.Index(r.RequestURL, api.PathAnswer):], r.ClaimURL[strings.Index(r.ClaimURL, api.PathClaim):]
	method, path, key, body := http.MethodGet, question, "", []byte(nil)
	switch q.verb {
	case answering:
		method, body = http.MethodPost, sealedAnswer(q.n)
		if q.keyed {
			key = rs.keyText(-2_000_000 - q.n)
		}
	case claiming:
		method, path, key = http.MethodPost, claim+api.SuffixClaim, rs.keyText(-2_000_000-q.n)
	case asking:
		path = api.PathRequest + r.ID
	case withdrawing:
		method, path = http.MethodDelete, api.PathRequest+r.ID
	}
	for {
		from := c.now()
		got, answered, sent := c.try(ctx, method, path, key, body)
		op := porcupine.Operation{ClientId: c.id, Input: q, Call: int64(from), Return: never, Output: requestResult{lost: true}}
		if answered {
			op.Output, op.Return = rs.read(q, got), int64(c.now())
		}
		if changes := q.verb == answering || q.verb == withdrawing || q.verb == claiming; answered || sent && changes {
			r.mu.Lock()
			r.history = append(r.history, op)
			r.mu.Unlock()
		}
		if answered || sent && (once || q.verb == answering && !q.keyed) || !c.pause(ctx, sent) {
			return
		}
	}
}

// contentOf is the content of an answer: its number, and sometimes so much that a store keeps
// it in a file.
func contentOf(n int) string {
	size := 0
	if n%16 == 0 {
		size = 400_000
	}
	return fmt.Sprintf("%08d", n) + strings.Repeat("A", size)
}

func sealedAnswer(n int) []byte {
	return fmt.Appendf(nil, `{"files":[{"name":%q,"content_type":%q,"encoding":"base64","content":%q}],"metadata":{"sealed":{"v":2,"kid":"k","to":[{"kid":"k","key":"k"}]}}}`,
		api.SealedName, api.TypeSealed, contentOf(n))
}

// read parses the result of a call.
func (rs *requestStorm) read(q requestCall, r reply) requestResult {
	var got struct {
		Status api.RequestStatus `json:"status"`
		Files  json.RawMessage   `json:"files"` // of a claim, an array
	}
	err := json.Unmarshal(r.body, &got)
	switch ok := r.status/100 == 2 && err == nil; {
	case ok && q.verb == claiming:
		var files []api.ClaimedFile
		if err := json.Unmarshal(got.Files, &files); err == nil && len(files) == 1 {
			n, err := strconv.Atoi(files[0].Content[:8])
			if err == nil && files[0].Content == contentOf(n) {
				return requestResult{status: api.RequestAnswered, n: n}
			}
		}
	case ok && got.Status != "":
		return requestResult{status: got.Status, done: q.verb == answering || q.verb == withdrawing}
	case q.verb == claiming && r.status == http.StatusNotFound:
		return requestResult{status: "not_found"}
	case r.status == http.StatusConflict || r.status == http.StatusGone:
		_, message := fault(r)
		message = message[max(0, strings.LastIndex(message, "this one is")):]
		for word, status := range map[string]api.RequestStatus{"answered": api.RequestAnswered, "withdrawn": api.RequestWithdrawn, "burned": "burned", "deleted": api.RequestWithdrawn} {
			if strings.Contains(message, word) {
				return requestResult{status: status}
			}
		}
	}
	rs.t.Errorf("%s: status %d, %.300s", q.verb, r.status, r.body)
	return requestResult{lost: true}
}

// TestClusterRequestModel checks that the model finds faulty histories.
func TestClusterRequestModel(t *testing.T) {
	op := func(v verb, n int, from, to int64, a requestResult) porcupine.Operation {
		return porcupine.Operation{Input: requestCall{verb: v, n: n, keyed: n < 10}, Call: from, Return: to, Output: a}
	}
	is := func(s api.RequestStatus) requestResult { return requestResult{status: s} }
	did := func(s api.RequestStatus) requestResult { return requestResult{status: s, done: true} }
	const answered, withdrawn, pending = api.RequestAnswered, api.RequestWithdrawn, api.RequestPending
	lost, content := requestResult{lost: true}, func(n int) requestResult { return requestResult{status: answered, n: n} }
	for _, c := range []struct {
		name    string
		legal   bool
		history []porcupine.Operation
	}{
		{"one after another", true, []porcupine.Operation{
			op(questioning, 0, 1, 2, is(pending)), op(claiming, 5, 3, 4, is("not_found")), op(answering, 1, 5, 6, did(answered)), op(answering, 2, 7, 8, is(answered)),
			op(answering, 1, 9, 10, did(answered)), op(withdrawing, 0, 11, 12, is(answered)), op(claiming, 6, 13, 14, content(1)), op(claiming, 7, 15, 16, is("burned")),
		}},
		{"two answers", false, []porcupine.Operation{op(answering, 1, 1, 4, did(answered)), op(answering, 2, 2, 3, did(answered))}},
		{"repeated without a key", false, []porcupine.Operation{op(answering, 11, 1, 2, did(answered)), op(answering, 11, 3, 4, did(answered))}},
		{"answered and withdrawn", false, []porcupine.Operation{op(answering, 1, 1, 4, did(answered)), op(withdrawing, 0, 2, 3, did(withdrawn))}},
		{"an answer that is not there", false, []porcupine.Operation{op(answering, 1, 1, 2, did(answered)), op(claiming, 5, 3, 4, is("not_found"))}},
		{"another answer", false, []porcupine.Operation{op(answering, 1, 1, 2, did(answered)), op(answering, 2, 1, never, lost), op(claiming, 5, 3, 4, content(2))}},
		{"an answer that was lost, and is there", true, []porcupine.Operation{op(answering, 2, 1, never, lost), op(claiming, 5, 3, 4, content(2)), op(questioning, 0, 5, 6, is(answered))}},
		{"claimed and still pending", false, []porcupine.Operation{op(answering, 2, 1, never, lost), op(claiming, 5, 3, 4, content(2)), op(questioning, 0, 5, 6, is(pending))}},
		{"claimed after it was withdrawn", false, []porcupine.Operation{op(answering, 2, 1, never, lost), op(withdrawing, 0, 3, 4, did(withdrawn)), op(claiming, 5, 5, 6, content(2))}},
		{"claimed twice", false, []porcupine.Operation{op(answering, 1, 1, 2, did(answered)), op(claiming, 5, 3, 4, content(1)), op(claiming, 6, 5, 6, content(1))}},
		{"answered by nobody", false, []porcupine.Operation{op(answering, 1, 1, 2, is(answered))}},
	} {
		if got := porcupine.CheckOperations(requestModel, c.history); got != c.legal {
			t.Errorf("%s: legal is %v, want %v", c.name, got, c.legal)
		}
	}
}
