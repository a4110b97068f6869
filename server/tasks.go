package server

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools"
)

// Tasks are an extension of protocol version 2026-07-28 (SEP-2663). A tool call
// that takes long is answered with the id of a task, and the client asks for the
// result with tasks/get. mcp-go has only the tasks of 2025-11-25
// (https://github.com/mark3labs/mcp-go/issues/980).
const (
	tasksExtension = "io.modelcontextprotocol/tasks"

	taskAfter    = 5 * time.Second  // a call that runs longer becomes a task
	taskTTL      = 15 * time.Minute // for how long a task can be asked for
	taskResultIn = 5 * time.Minute  // how much of that remains at least when it ends
	maxTaskTime  = time.Hour        // of a call that does not end
	taskPoll     = time.Second      // how often a client should ask

	maxTaskBytes    = 64 << 20  // of the results of all callers, half of it for one
	leastTaskResult = 256 << 10 // bytes that are reserved for a result until it is there
	mostTaskResult  = 8 << 20
)

type taskStatus string

const (
	taskWorking   taskStatus = "working"
	taskInput     taskStatus = "input_required"
	taskCompleted taskStatus = "completed"
	taskFailed    taskStatus = "failed"
	taskCancelled taskStatus = "cancelled"
)

func (s taskStatus) terminal() bool {
	return s == taskCompleted || s == taskFailed || s == taskCancelled
}

// task is a tool call that goes on after the client has got its id.
type task struct {
	id       string
	created  time.Time
	cancel   context.CancelFunc // of the call
	delivery *delivery          // of the result

	// What follows belongs to the store.
	status    taskStatus
	updated   time.Time
	expires   time.Time
	expiry    *time.Timer
	size      int64            // bytes that are reserved
	result    json.RawMessage  // of a completed task
	err       *transport.Error // of a failed one
	cancelled bool             // by the client; the call may end otherwise

	rounds   int                // how often it has asked the client for something
	asked    mcp.InputRequests  // not answered yet
	answers  mcp.InputResponses // to what was asked, by the call's own names
	answered chan struct{}      // closed when nothing is asked any more
}

// taskState is a task as the client sees it.
type taskState struct {
	Meta           *mcp.Meta         `json:"_meta,omitempty"`
	ResultType     mcp.ResultType    `json:"resultType"`
	TaskID         string            `json:"taskId"`
	Status         taskStatus        `json:"status"`
	CreatedAt      string            `json:"createdAt"`
	LastUpdatedAt  string            `json:"lastUpdatedAt"`
	TTLMs          int64             `json:"ttlMs"`
	PollIntervalMs int64             `json:"pollIntervalMs"`
	InputRequests  mcp.InputRequests `json:"inputRequests,omitempty"`
	Result         json.RawMessage   `json:"result,omitempty"`
	Error          *transport.Error  `json:"error,omitempty"`
}

// taskMemory bounds the bytes of the results of all callers' tasks.
type taskMemory struct {
	mu   sync.Mutex
	used int64
}

// reserve takes bytes, if there are so many.
func (m *taskMemory) reserve(n int64) (ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > maxTaskBytes {
		return false
	}
	m.used += n
	return true
}

// change notes that a result takes more or less than was reserved for it.
func (m *taskMemory) change(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used += n
}

// taskStore holds the tasks of one caller. No other caller has a way to it.
type taskStore struct {
	memory  *taskMemory
	reserve int64 // bytes for a result that is not there yet

	mu      sync.Mutex
	byID    map[string]*task
	bytes   int64
	closed  bool
	running sync.WaitGroup
}

// newTaskStore makes a store. maxInline is the largest payload in an answer.
func newTaskStore(memory *taskMemory, maxInline int64) *taskStore {
	if memory == nil {
		memory = &taskMemory{}
	}
	if maxInline == 0 {
		maxInline = tools.DefaultMaxInline
	}
	return &taskStore{memory: memory, reserve: min(max(leastTaskResult, 2*maxInline), mostTaskResult), byID: map[string]*task{}}
}

// begin makes a task of a call, nil if there is no room for its result. The caller
// must end it with finish.
func (ts *taskStore) begin(d *delivery, cancel context.CancelFunc) *task {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed || ts.bytes+ts.reserve > maxTaskBytes/2 || !ts.memory.reserve(ts.reserve) {
		return nil
	}
	now := time.Now()
	t := &task{id: uuid.NewString(), created: now, updated: now, expires: now.Add(taskTTL),
		cancel: cancel, delivery: d, status: taskWorking, size: ts.reserve}
	t.expiry = time.AfterFunc(taskTTL, func() { ts.expire(t) })
	ts.bytes += t.size
	ts.byID[t.id] = t
	ts.running.Add(1)
	return t
}

// resize changes what a task takes of the memory. The store is locked.
func (ts *taskStore) resize(t *task, size int64) {
	ts.bytes += size - t.size
	ts.memory.change(size - t.size)
	t.size = size
}

// finish notes what has become of a task. A call that ended although it was
// cancelled keeps its result.
func (ts *taskStore) finish(t *task, result json.RawMessage, isError bool, err *transport.Error) {
	defer ts.running.Done()
	defer t.cancel()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	switch {
	case t.cancelled && (err != nil || isError):
		t.status = taskCancelled
	case err != nil:
		t.status, t.err = taskFailed, err
	default:
		t.status, t.result = taskCompleted, result
	}
	t.updated, t.asked = time.Now(), nil
	if ts.byID[t.id] != t { // it has expired
		t.result = nil
		go t.delivery.settle(false)
		return
	}
	ts.resize(t, int64(len(t.result)))
	if t.status != taskCompleted {
		go t.delivery.settle(false)
	}
	if rest := time.Until(t.expires); rest < taskResultIn {
		t.expires = time.Now().Add(taskResultIn)
		t.expiry.Reset(taskResultIn)
	}
}

// expire removes a task whose time is up. One that works gets more, up to
// maxTaskTime.
func (ts *taskStore) expire(t *task) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if time.Until(t.expires) > 0 || ts.byID[t.id] != t {
		return // finish was faster
	}
	if t.status == taskWorking && time.Since(t.created) < maxTaskTime {
		t.expires = time.Now().Add(taskTTL)
		t.expiry.Reset(taskTTL)
		return
	}
	ts.remove(t)
}

// remove forgets a task. The store is locked.
func (ts *taskStore) remove(t *task) {
	delete(ts.byID, t.id)
	t.expiry.Stop()
	t.cancel()
	ts.resize(t, 0)
	if t.status.terminal() {
		go t.delivery.settle(false) // unless it was fetched
	}
}

// close cancels all tasks, and waits until their calls have ended.
func (ts *taskStore) close() {
	ts.mu.Lock()
	ts.closed = true
	for t := range maps.Values(ts.byID) {
		ts.remove(t)
	}
	ts.mu.Unlock()
	ts.running.Wait()
}

// isEmpty reports whether there is no task that a client may ask for.
func (ts *taskStore) isEmpty() bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.byID) == 0
}

// find gives a task, nil if there is none with that id.
func (ts *taskStore) find(id string) *task {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.byID[id]
}

// state is the answer to tasks/get.
func (ts *taskStore) state(t *task) *taskState {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return &taskState{
		ResultType:     mcp.ResultTypeComplete,
		TaskID:         t.id,
		Status:         t.status,
		CreatedAt:      t.created.UTC().Format(api.TimeLayout),
		LastUpdatedAt:  t.updated.UTC().Format(api.TimeLayout),
		TTLMs:          t.expires.Sub(t.created).Milliseconds(),
		PollIntervalMs: taskPoll.Milliseconds(),
		InputRequests:  maps.Clone(t.asked),
		Result:         t.result,
		Error:          t.err,
	}
}

// stop cancels a task for the client. One that has ended stays as it is.
func (ts *taskStore) stop(t *task) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if !t.status.terminal() {
		t.cancelled = true
		t.cancel()
	}
}
