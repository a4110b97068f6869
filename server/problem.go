package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// problem is why a request is refused before MCP sees it.
type problem struct {
	status  int
	code    int    // of JSON-RPC; 0: invalid request
	reason  string // for metrics
	message string
	retry   time.Duration // when it is worth another try; 0: never

	challenge string // more of WWW-Authenticate, of a 401
}

func refusal(status int, reason, message string) *problem {
	return &problem{status: status, reason: reason, message: message}
}

// busy is the problem of a limit that will give way.
func busy(status int, reason, message string) *problem {
	return &problem{status: status, code: codeBusy, reason: reason, message: message, retry: time.Second}
}

// codeBusy is of the range that JSON-RPC leaves to servers.
const codeBusy = -32000

// refuse answers with a problem, as a JSON-RPC error, which MCP clients show.
func (h *HTTP) refuse(w http.ResponseWriter, id jsontext.Value, p *problem) {
	h.cfg.Metrics.refused(p.reason)
	// Reading the request may have taken the time for an answer.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.limits.StallTimeout))
	header := w.Header()
	if p.retry > 0 {
		header.Set("Retry-After", strconv.Itoa(int(p.retry/time.Second)))
	}
	if p.status == http.StatusServiceUnavailable || p.status == http.StatusRequestEntityTooLarge || p.status == http.StatusRequestTimeout {
		header.Set("Connection", "close")
	}
	if p.code == 0 {
		p.code = mcp.INVALID_REQUEST
	}
	header.Set("Content-Type", "application/json")
	w.WriteHeader(p.status)
	_, _ = w.Write(encodeError(&rpcError{Code: p.code, Message: p.message, id: id}))
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}
