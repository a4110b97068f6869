package transport

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// Refusal says why an HTTP request is refused before a server sees it.
type Refusal struct {
	Status  int
	Code    int    // of JSON-RPC; 0: invalid request
	Reason  string // for metrics
	Message string
	Data    any
	Retry   time.Duration // after which a retry may succeed; 0: never

	Challenge string // the end of the WWW-Authenticate header of a 401
}

// Refuse makes a refusal.
func Refuse(status int, reason, message string) *Refusal {
	return &Refusal{Status: status, Reason: reason, Message: message}
}

// badRequest makes a refusal of a message that is wrong. code is of JSON-RPC.
func badRequest(code int, message string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: code, Reason: "bad_request", Message: message}
}

// Busy makes a refusal that does not last: a retry in a second may succeed.
func Busy(status int, reason, message string) *Refusal {
	return &Refusal{Status: status, Code: codeBusy, Reason: reason, Message: message, Retry: time.Second}
}

// codeBusy is in the range that JSON-RPC leaves to servers.
const codeBusy = -32000

// Refuse answers with a refusal as a JSON-RPC error, which MCP clients show.
func (h *HTTP) Refuse(w http.ResponseWriter, p *Refusal) { h.refuse(w, nil, p) }

func (h *HTTP) refuse(w http.ResponseWriter, id jsontext.Value, p *Refusal) {
	h.cfg.Refused(p.Reason)
	// Reading the request may have taken the time for an answer.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.limits.StallTimeout))
	header := w.Header()
	if p.Retry > 0 {
		header.Set("Retry-After", strconv.Itoa(int(p.Retry/time.Second)))
	}
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusRequestEntityTooLarge || p.Status == http.StatusRequestTimeout {
		header.Set("Connection", "close")
	}
	if p.Code == 0 {
		p.Code = mcp.INVALID_REQUEST
	}
	header.Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(encodeError(&Error{Code: p.Code, Message: p.Message, Data: p.Data, id: id}))
}
