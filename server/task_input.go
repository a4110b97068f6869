package server

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// ask has the client asked for what a task's call needs, and waits for the answers.
// It gives false if ctx ends first.
func (ts *taskStore) ask(ctx context.Context, t *task, requests mcp.InputRequests) (mcp.InputResponses, bool) {
	if len(requests) == 0 { // the call wants to be called again, later
		select {
		case <-time.After(taskPoll):
			return nil, true
		case <-ctx.Done():
			return nil, false
		}
	}
	ts.mu.Lock()
	t.rounds++
	t.status, t.updated = taskInput, time.Now()
	t.asked, t.answers, t.answered = mcp.InputRequests{}, mcp.InputResponses{}, make(chan struct{})
	for name, r := range requests {
		t.asked[inputKey(t.rounds, name)] = r
	}
	answered := t.answered
	ts.mu.Unlock()
	select {
	case <-answered:
	case <-ctx.Done():
		return nil, false
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return t.answers, true
}

// inputKey names a request to the client: no two requests of a task have the same
// key, although a call may use a name again.
func inputKey(round int, name string) string { return strconv.Itoa(round) + "." + name }

// update takes a client's answers. What was not asked, or is answered already, is
// ignored.
func (ts *taskStore) update(t *task, answers mcp.InputResponses) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for key, answer := range answers {
		if _, ok := t.asked[key]; !ok {
			continue
		}
		delete(t.asked, key)
		_, name, _ := strings.Cut(key, ".")
		t.answers[name] = answer
		if len(t.asked) == 0 {
			t.status, t.updated = taskWorking, time.Now()
			close(t.answered)
		}
	}
}
