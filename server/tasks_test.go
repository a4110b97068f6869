package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/server/transport"
)

// withTasks is the _meta of a client that knows tasks.
const withTasks = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}`

func taskCall(tool, args string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s,%s}}`, tool, args, withTasks)
}

func taskRequest(method, id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"method":%q,"params":{"taskId":%q,"inputResponses":{},%s}}`, method, id, withTasks)
}

// taskAnswer is an answer that concerns a task.
type taskAnswer struct {
	Result struct {
		ResultType, TaskID string
		Status             taskStatus
		TTLMs              int64
		Result             json.RawMessage
		Error              *transport.Error
		Content            json.RawMessage
	}
	Error *transport.Error
}

func parseTask(t *testing.T, text string) taskAnswer {
	t.Helper()
	var a taskAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("%.300s: %v", text, err)
	}
	return a
}

// askTask sends a request over stdio.
func (p *peer) askTask(t *testing.T, message string) taskAnswer {
	t.Helper()
	p.send(t, message)
	return parseTask(t, string(p.receive(t)))
}

// awaitTask asks for a task until it has ended.
func (p *peer) awaitTask(t *testing.T, id string) taskAnswer {
	t.Helper()
	for {
		a := p.askTask(t, taskRequest(methodTasksGet, id))
		if a.Error != nil || a.Result.Status.terminal() {
			return a
		}
		time.Sleep(time.Millisecond)
	}
}

// gate is a transport that holds requests back until it is opened.
type gate struct {
	path   string // of those that are held back, a part of it
	opened chan struct{}
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, g.path) && r.Method == http.MethodPost {
		select {
		case <-g.opened:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return http.DefaultTransport.RoundTrip(r)
}

// addWait adds a tool that waits until it may go on or is cancelled.
func addWait(goOn <-chan struct{}, cancelled chan<- struct{}) func(*mcpserver.MCPServer) error {
	return func(s *mcpserver.MCPServer) error {
		s.AddTool(mcp.NewTool("wait"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			select {
			case <-goOn:
				return mcp.NewToolResultText("It was worth it."), nil
			case <-ctx.Done():
				cancelled <- struct{}{}
				return nil, ctx.Err()
			}
		})
		return nil
	}
}

func newTaskServer(t *testing.T, cfg Config) (*Server, *peer) {
	t.Helper()
	if cfg.Client == nil {
		cfg.Client, _ = newClient(t)
	}
	if cfg.TaskAfter == 0 {
		cfg.TaskAfter = time.Millisecond
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, connect(t, s)
}

// TestTaskOfClaim claims a payload that burns, in a call that becomes a task. The key of
// the claim is held until the client has fetched the result, and no longer.
func TestTaskOfClaim(t *testing.T) {
	for _, fetched := range []bool{false, true} {
		t.Run(fmt.Sprintf("fetched %v", fetched), func(t *testing.T) {
			g := &gate{path: "/claim", opened: make(chan struct{})}
			c, _ := newClient(t, kubbi.WithTransport(g))
			s, p := newTaskServer(t, Config{Client: c})
			p.handshake(t)
			sent, err := c.Send(t.Context(), kubbi.SendParams{Content: "seen once", MaxRetrievals: 1})
			if err != nil {
				t.Fatal(err)
			}
			args := fmt.Sprintf(`{"claim_url":%q}`, sent.ClaimURL)
			created := p.askTask(t, taskCall("claim", args)).Result
			if created.ResultType != "task" || created.Status != taskWorking || created.TTLMs <= 0 {
				t.Fatalf("%+v", created)
			}
			if got := p.askTask(t, taskRequest(methodTasksGet, created.TaskID)).Result; got.Status != taskWorking || got.Result != nil {
				t.Errorf("while it works: %+v", got)
			}
			close(g.opened)
			if !fetched {
				until(t, func() bool { return s.tasks.state(s.tasks.find(created.TaskID)).Status == taskCompleted })
			} else {
				got := p.awaitTask(t, created.TaskID)
				settled := make(chan bool, 1)
				s.tasks.find(created.TaskID).delivery.OnWritten(func(written bool) { settled <- written })
				until(t, func() bool { // the server knows that the answer was written
					select {
					case written := <-settled:
						return written
					default:
						return false
					}
				})
				if r := parseResult(t, []byte(`{"result":`+string(got.Result.Result)+`}`)); r.payload(t) != "seen once" {
					t.Fatalf("%+v", got)
				}
			}
			p.call(t, "list", `{}`) // the client goes on
			again := p.call(t, "claim", strings.Replace(args, "}", `,"again":true}`, 1))
			if fetched != again.Result.IsError {
				t.Fatalf("claimed again: %+v", again)
			}
			if !fetched && again.payload(t) != "seen once" {
				t.Error("the payload is lost")
			}
			if k, err := c.Get(t.Context(), sent.ID); err != nil || k.RetrievalCount != 1 {
				t.Errorf("%+v, %v", k, err)
			}
		})
	}
}

// TestTaskIsOfOneCaller checks that a caller who asks for, answers or cancels the task of
// another caller gets the same answer as for a task that does not exist.
func TestTaskIsOfOneCaller(t *testing.T) {
	goOn, cancelled := make(chan struct{}), make(chan struct{}, 1)
	alice, err := NewToken("alice", "alice-0123456789abcdef", "")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := NewToken("bob", "bob-0123456789abcdef", "")
	if err != nil {
		t.Fatal(err)
	}
	s := newHost(t, HTTPConfig{Tokens: []Token{alice, bob}, Server: Config{TaskAfter: time.Millisecond, Add: addWait(goOn, cancelled)}})
	as := func(who, method, name, message string) string {
		return s.modern(t, method, name, message, http.Header{"Authorization": {"Bearer " + who + "-0123456789abcdef"}})
	}
	id := parseTask(t, as("alice", "tools/call", "wait", taskCall("wait", `{}`))).Result.TaskID
	if id == "" {
		t.Fatal("no task")
	}
	const none = "00000000-0000-4000-8000-000000000000"
	for _, method := range []string{methodTasksGet, methodTasksUpdate, methodTasksCancel} {
		got, never := as("bob", method, id, taskRequest(method, id)), as("bob", method, none, taskRequest(method, none))
		if a := parseTask(t, got); a.Error == nil || a.Error.Code != mcp.INVALID_PARAMS || got != never {
			t.Errorf("%s: %s, and for none %s", method, got, never)
		}
		if got := parseTask(t, as("alice", method, none, taskRequest(method, id))); got.Error == nil || got.Error.Code != mcp.HEADER_MISMATCH {
			t.Errorf("%s with another task in Mcp-Name: %+v", method, got)
		}
	}
	for _, c := range s.h.callers.all() {
		if _, idle := c.idleSince(); idle != (c.token == "bob") {
			t.Errorf("%s is idle: %v", c.token, idle)
		}
	}
	close(goOn)
	until(t, func() bool {
		got := parseTask(t, as("alice", methodTasksGet, id, taskRequest(methodTasksGet, id))).Result
		return got.Status == taskCompleted && strings.Contains(string(got.Result), "worth it")
	})
	if len(cancelled) > 0 {
		t.Error("it was cancelled")
	}
}

func TestTaskIsCancelled(t *testing.T) {
	cancelled := make(chan struct{}, 1)
	s, p := newTaskServer(t, Config{Add: addWait(nil, cancelled)})
	id := p.askTask(t, taskCall("wait", `{}`)).Result.TaskID
	if a := p.askTask(t, taskRequest(methodTasksCancel, id)); a.Error != nil || a.Result.ResultType != "complete" || a.Result.TaskID != "" {
		t.Errorf("%+v", a)
	}
	<-cancelled
	if a := p.awaitTask(t, id); a.Result.Status != taskCancelled || a.Result.Error != nil {
		t.Errorf("%+v", a)
	}
	if a := p.askTask(t, taskRequest(methodTasksCancel, id)); a.Error != nil {
		t.Errorf("cancelled again: %+v", a)
	}
	p.askTask(t, taskCall("wait", `{}`))
	s.Close() // ends it, and waits for that
	if len(cancelled) != 1 {
		t.Error("the server has ended, and a task has not")
	}
}

// TestCallIsNoTask makes a long call as clients that know no tasks.
func TestCallIsNoTask(t *testing.T) {
	for name, message := range map[string]string{
		"older version":    callOf(1, "wait", `{}`),
		"older, with meta": strings.Replace(taskCall("wait", `{}`), "2026-07-28", "2025-11-25", 1),
		"not declared":     strings.Replace(taskCall("wait", `{}`), `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`, `{}`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			goOn := make(chan struct{})
			_, p := newTaskServer(t, Config{Add: addWait(goOn, make(chan struct{}, 1))})
			p.handshake(t)
			time.AfterFunc(50*time.Millisecond, func() { close(goOn) })
			if a := p.askTask(t, message); a.Error != nil || a.Result.TaskID != "" || !strings.Contains(string(a.Result.Content), "worth it") {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestTasksHaveRoom makes tasks until there is no room for one more: that call is
// answered without a task. A task that ends makes room.
func TestTasksHaveRoom(t *testing.T) {
	goOn := make(chan struct{})
	memory := newTaskMemory()
	s, p := newTaskServer(t, Config{Add: addWait(goOn, make(chan struct{}, 1)), taskMemory: memory})
	if !memory.TryAcquire(maxTaskMemory - s.tasks.reserved - 1<<10) {
		t.Fatal("no room")
	}
	id := p.askTask(t, taskCall("wait", `{}`)).Result.TaskID
	if id == "" {
		t.Fatal("no task")
	}
	p.send(t, strings.Replace(taskCall("wait", `{}`), `"id":1`, `"id":3`, 1))
	time.Sleep(20 * time.Millisecond)
	if got := s.tasks.find(id); got == nil || len(s.tasks.byID) != 1 {
		t.Errorf("%d tasks", len(s.tasks.byID))
	}
	close(goOn)
	if a := parseTask(t, string(p.receive(t))); a.Result.TaskID != "" || !strings.Contains(string(a.Result.Content), "worth it") {
		t.Errorf("the call without room: %+v", a)
	}
	p.awaitTask(t, id)
	if !memory.TryAcquire(s.tasks.reserved / 2) {
		t.Error("the result of a task that has ended takes as much as was reserved")
	}

	other := newTaskStore(nil, 0)
	made := 0
	for ; made < maxTasks; made++ {
		if other.begin(&transport.Delivery{}, func() {}, 0) == nil {
			break
		}
	}
	if want := maxTaskMemory / 2 / minTaskReserved; made != want {
		t.Errorf("one caller may have %d running tasks, not %d", made, want)
	}
	if newTaskStore(nil, 0).begin(&transport.Delivery{}, func() {}, maxTaskMemory/2) != nil {
		t.Error("the arguments of a call don't count")
	}
}

// TestTaskExpires checks what happens at the end of a task's time.
func TestTaskExpires(t *testing.T) {
	ts := newTaskStore(nil, 0)
	begin := func() (*task, chan bool) {
		settled := make(chan bool, 2)
		d := &transport.Delivery{}
		d.OnWritten(func(written bool) { settled <- written })
		return ts.begin(d, func() {}, 0), settled
	}
	over := func(task *task) {
		ts.mu.Lock()
		task.expires = time.Now()
		ts.mu.Unlock()
		ts.expire(task)
	}
	works, settled := begin()
	over(works)
	if ts.find(works.id) == nil || time.Until(works.expires) < taskTTL/2 {
		t.Error("a call that works gets no more time")
	}
	ts.finish(works, json.RawMessage(`{}`), false, nil)
	if len(settled) > 0 {
		t.Error("its result counts as lost")
	}
	over(works)
	if ts.find(works.id) != nil || <-settled {
		t.Error("the result that nobody has fetched does not count as lost")
	}

	hangs, settled := begin()
	hangs.created = time.Now().Add(-maxTaskTime)
	over(hangs)
	if ts.find(hangs.id) != nil {
		t.Error("a call that hangs is kept")
	}
	ts.finish(hangs, json.RawMessage(`{}`), false, nil)
	if <-settled || !ts.own.TryAcquire(maxTaskMemory/2) || !ts.shared.TryAcquire(maxTaskMemory) {
		t.Error("what has expired takes memory")
	}
	ts.own.Release(maxTaskMemory / 2)
	ts.shared.Release(maxTaskMemory)
	ts.close()
	if ts.begin(&transport.Delivery{}, func() {}, 0) != nil {
		t.Error("a task begins after the end")
	}
}
