package server

import (
	"encoding/json"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/server/transport"
)

// Methods of the tasks extension.
const (
	methodTasksGet    = "tasks/get"
	methodTasksUpdate = "tasks/update"
	methodTasksCancel = "tasks/cancel"
)

// errNeedsTasks is the answer to a client that has not declared the extension.
var errNeedsTasks = &transport.Error{
	Code:    mcp.MISSING_REQUIRED_CLIENT_CAPABILITY,
	Message: "Missing required client capability: " + tasksExtension,
	Data:    map[string]any{"requiredCapabilities": map[string]any{"extensions": map[string]any{tasksExtension: struct{}{}}}},
}

var (
	errNoTask     = &transport.Error{Code: mcp.INVALID_PARAMS, Message: "Invalid params: no task has this taskId; if it has expired, make the call again"}
	errTaskHeader = &transport.Error{Code: mcp.HEADER_MISMATCH, Message: mcp.HeaderName + ": the header must be the taskId of the message"}
	errTaskInput  = &transport.Error{Code: mcp.INVALID_PARAMS, Message: "Invalid params: inputResponses must be an object with the answers to the task's inputRequests"}
)

// answersTasks reports whether the call is for answerTask: its method is one of tasks,
// and mcp-go has nothing against its protocol version.
func answersTasks(c *transport.Call) bool {
	switch c.Method {
	case methodTasksGet, methodTasksUpdate, methodTasksCancel:
		return c.Modern && mcp.IsValidProtocolVersion(stringOf(c.MetaMember(mcp.MetaKeyProtocolVersion))) &&
			c.MetaMember(mcp.MetaKeyClientCapabilities).Kind() == '{'
	default:
		return false
	}
}

// answerTask answers tasks/get, tasks/update and tasks/cancel.
func (s *Server) answerTask(c *transport.Call) (any, *transport.Error) {
	if !callDeclaresTasks(c) {
		return nil, errNeedsTasks
	}
	id := stringOf(c.Param("taskId"))
	if c.Header != nil {
		if name, ok := mcp.DecodeHeaderValue(c.Header.Get(mcp.HeaderName)); !ok || name != id {
			return nil, errTaskHeader
		}
	}
	t := s.tasks.find(id)
	if t == nil {
		return nil, errNoTask
	}
	switch c.Method {
	case methodTasksGet:
		state := s.tasks.state(t)
		if state.Status == taskCompleted {
			c.OnWritten(func(written bool) {
				if written { // else the client may ask again
					t.delivery.Settle(true)
				}
			})
		}
		state.Meta = s.serverMeta()
		return state, nil
	case methodTasksUpdate:
		var answers mcp.InputResponses
		if json.Unmarshal(c.Param("inputResponses"), &answers) != nil {
			return nil, errTaskInput
		}
		s.tasks.update(t, answers)
	case methodTasksCancel:
		s.tasks.cancelTask(t)
	}
	return mcp.Result{ResultType: mcp.ResultTypeComplete, Meta: s.serverMeta()}, nil
}

// listensToTasks reports whether a subscriptions/listen request asks for
// notifications about tasks. There are none, but a client must declare the extension.
func listensToTasks(c *transport.Call) bool {
	var notifications struct {
		TaskIDs []string `json:"taskIds"`
	}
	_ = json.Unmarshal(c.Param("notifications"), &notifications) // mcp-go refuses what is wrong
	return len(notifications.TaskIDs) > 0
}

func callDeclaresTasks(c *transport.Call) bool {
	var can mcp.ClientCapabilities
	return json.Unmarshal(c.MetaMember(mcp.MetaKeyClientCapabilities), &can) == nil && declaresTasks(&can)
}

// stringOf gives the text of a JSON string, "" for anything else.
func stringOf(v []byte) string {
	var s string
	_ = json.Unmarshal(v, &s)
	return s
}
