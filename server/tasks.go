package server

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/mark3labs/mcp-go/mcp"
	"golang.org/x/sync/semaphore"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools"
)

// Tasks are an extension of protocol version 2026-07-28 (SEP-2663): a tool call that
// takes long is answered with the id of a task, and the client fetches the result with
// tasks/get. mcp-go has only the tasks of 2025-11-25
// (https://github.com/mark3labs/mcp-go/issues/980).
const (
	tasksExtension = "io.modelcontextprotocol/tasks"

	defaultTaskAfter = 5 * time.Second  // a call that runs longer becomes a task
	taskTTL          = 15 * time.Minute // from the creation of a task
	taskResultTTL    = 5 * time.Minute  // from its end, at least
	maxTaskTime      = time.Hour        // of a call that does not end
	taskPollInterval = time.Second

	maxTasks        = 1000      // of one caller
	maxTaskMemory   = 64 << 20  // bytes of all callers' tasks, half of them for one caller
	taskOverhead    = 1 << 10   // bytes of a task, without its result
	minTaskReserved = 256 << 10 // bytes for the result of a running task
	maxTaskReserved = 8 << 20
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

// task is a tool call that still runs after its request was answered.
type task struct {
	id       string
	created  time.Time
	cancel   context.CancelFunc  // of the call
	delivery *transport.Delivery // of the result

	// The store's mu guards these.
	status    taskStatus
	updated   time.Time
	expires   time.Time
	expiry    *time.Timer
	memory    int64            // bytes that are reserved
	result    json.RawMessage  // of a completed task
	err       *transport.Error // of a failed task
	cancelled bool             // the client has cancelled it; the call may still complete
	input     taskRequests
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

// taskStore holds the tasks of one caller. No other caller can reach it.
type taskStore struct {
	own      *semaphore.Weighted // bytes of this caller
	shared   *semaphore.Weighted // bytes of all callers
	reserved int64               // for a result

	running sync.WaitGroup // calls

	mu     sync.Mutex
	byID   map[string]*task
	closed bool
}

func newTaskMemory() *semaphore.Weighted { return semaphore.NewWeighted(maxTaskMemory) }

// newTaskStore makes a store. maxInline is the largest payload in an answer, in bytes.
func newTaskStore(shared *semaphore.Weighted, maxInline int64) *taskStore {
	if shared == nil {
		shared = newTaskMemory()
	}
	if maxInline == 0 {
		maxInline = tools.DefaultMaxInline
	}
	return &taskStore{
		own: semaphore.NewWeighted(maxTaskMemory / 2), shared: shared,
		reserved: min(max(minTaskReserved, 2*maxInline), maxTaskReserved),
		byID:     map[string]*task{},
	}
}

// begin makes a task of a call whose message has size bytes. The caller must end it with
// finish. It returns nil if there is no room.
func (ts *taskStore) begin(d *transport.Delivery, cancel context.CancelFunc, size int) *task {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	memory := ts.reserved + int64(size)
	if ts.closed || len(ts.byID) >= maxTasks || !ts.own.TryAcquire(memory) {
		return nil
	}
	if !ts.shared.TryAcquire(memory) {
		ts.own.Release(memory)
		return nil
	}
	now := time.Now()
	t := &task{id: uuid.NewString(), created: now, updated: now, expires: now.Add(taskTTL),
		cancel: cancel, delivery: d, status: taskWorking, memory: memory}
	t.expiry = time.AfterFunc(taskTTL, func() { ts.expire(t) })
	ts.byID[t.id] = t
	ts.running.Add(1)
	return t
}

// shrink releases the memory of a task above some bytes. The caller holds mu.
func (ts *taskStore) shrink(t *task, bytes int64) {
	if rest := t.memory - bytes; rest > 0 {
		t.memory = bytes
		ts.own.Release(rest)
		ts.shared.Release(rest)
	}
}

// finish ends a task. If the call has completed although the client has cancelled it,
// the result counts.
func (ts *taskStore) finish(t *task, result json.RawMessage, isError bool, err *transport.Error) {
	defer ts.running.Done()
	defer t.cancel()
	if !ts.setOutcome(t, result, isError, err) {
		t.delivery.Settle(false)
	}
}

// setOutcome reports whether there is a result that the client can fetch.
func (ts *taskStore) setOutcome(t *task, result json.RawMessage, isError bool, err *transport.Error) bool {
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
	t.updated, t.input.open = time.Now(), nil
	if ts.byID[t.id] != t { // the task has expired
		ts.shrink(t, 0)
		return false
	}
	ts.shrink(t, taskOverhead+int64(len(t.result)))
	if time.Until(t.expires) < taskResultTTL {
		t.expires = time.Now().Add(taskResultTTL)
		t.expiry.Reset(taskResultTTL)
	}
	return t.status == taskCompleted
}

// expire removes a task at the end of its time. A call that still works gets more time,
// up to maxTaskTime.
func (ts *taskStore) expire(t *task) {
	ts.mu.Lock()
	if time.Until(t.expires) > 0 || ts.byID[t.id] != t {
		ts.mu.Unlock()
		return // it has finished a moment ago
	}
	if t.status == taskWorking && time.Since(t.created) < maxTaskTime {
		t.expires = time.Now().Add(taskTTL)
		t.expiry.Reset(taskTTL)
		ts.mu.Unlock()
		return
	}
	ts.remove(t)
	ts.mu.Unlock()
	t.end()
}

// remove removes a task. The caller holds mu, and calls end after that.
func (ts *taskStore) remove(t *task) {
	delete(ts.byID, t.id)
	t.expiry.Stop()
	if t.status.terminal() {
		ts.shrink(t, 0) // else when the call has ended
	}
}

// end cancels the call of a task that was removed. A result that was not fetched is lost.
func (t *task) end() {
	t.cancel()
	t.delivery.Settle(false)
}

// close cancels all tasks, and waits until their calls have ended.
func (ts *taskStore) close() {
	ts.mu.Lock()
	ts.closed = true
	all := maps.Clone(ts.byID)
	for _, t := range all {
		ts.remove(t)
	}
	ts.mu.Unlock()
	for _, t := range all {
		t.end()
	}
	ts.running.Wait()
}

// isEmpty reports whether there is no task that the client can ask for.
func (ts *taskStore) isEmpty() bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.byID) == 0
}

// find gives the task with an id, nil if there is none.
func (ts *taskStore) find(id string) *task {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.byID[id]
}

// state is what tasks/get answers.
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
		PollIntervalMs: taskPollInterval.Milliseconds(),
		InputRequests:  maps.Clone(t.input.open),
		Result:         t.result,
		Error:          t.err,
	}
}

// cancelTask cancels a task for the client. A task that has ended stays as it is.
func (ts *taskStore) cancelTask(t *task) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if !t.status.terminal() {
		t.cancelled = true
		t.cancel()
	}
}
