package server

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// taskRequests are the requests of a task to its client.
type taskRequests struct {
	rounds   int                // how many times the tool has asked
	open     mcp.InputRequests  // without an answer, by the key that the client sees
	answers  mcp.InputResponses // of this round, by the name that the tool has given
	answered chan struct{}      // closed when none is open any more
}

// ask asks the client of a task for what the tool needs, and waits for the answers. ok
// is false if ctx ends first.
func (ts *taskStore) ask(ctx context.Context, t *task, requests mcp.InputRequests) (answers mcp.InputResponses, ok bool) {
	if len(requests) == 0 { // the tool wants to be called again later
		select {
		case <-time.After(taskPollInterval):
			return nil, true
		case <-ctx.Done():
			return nil, false
		}
	}
	in := &t.input
	ts.mu.Lock()
	t.status, t.updated = taskInput, time.Now()
	in.rounds++
	in.open, in.answers, in.answered = mcp.InputRequests{}, mcp.InputResponses{}, make(chan struct{})
	for name, r := range requests {
		in.open[inputKey(in.rounds, name)] = r
	}
	answered := in.answered
	ts.mu.Unlock()
	select {
	case <-answered:
		ts.mu.Lock()
		defer ts.mu.Unlock()
		return in.answers, true
	case <-ctx.Done():
		return nil, false
	}
}

// inputKey is a key that no other request of the task has. A tool may use a name again.
func inputKey(round int, name string) string { return strconv.Itoa(round) + "." + name }

// update takes the client's answers. It ignores answers to requests that are not open.
func (ts *taskStore) update(t *task, answers mcp.InputResponses) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	in := &t.input
	for key, answer := range answers {
		if _, ok := in.open[key]; !ok {
			continue
		}
		delete(in.open, key)
		_, name, _ := strings.Cut(key, ".")
		in.answers[name] = answer
		if len(in.open) == 0 {
			t.status, t.updated = taskWorking, time.Now()
			close(in.answered)
		}
	}
}
