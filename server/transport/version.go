package transport

import (
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
)

// modernHeader reports whether a request's headers name a protocol version
// without sessions.
func modernHeader(h http.Header) bool {
	return mcp.IsModernProtocol(h.Get(mcp.HeaderProtocolVersion))
}

// knownVersion reports whether a header names a version that exists. Clients of the oldest
// versions send no header.
func knownVersion(v string) bool { return v == "" || mcp.IsValidProtocolVersion(v) }

func unknownVersion(v string) *Refusal {
	e := mcp.UnsupportedProtocolVersionError{Version: v, Supported: mcp.ValidProtocolVersions}.JSONRPCError().Error
	p := badRequest(e.Code, e.Message)
	p.Data = e.Data
	return p
}

// checkVersion refuses a message of streamable HTTP if its headers name a version that
// does not exist, or contradict the message (SEP-2243, SEP-2575).
func checkVersion(h http.Header, m *message) *Refusal {
	header, meta := h.Get(mcp.HeaderProtocolVersion), ""
	if v := m.metaMember(mcp.MetaKeyProtocolVersion); v.Kind() == '"' {
		meta = unquote(v)
	}
	if !mcp.IsModernProtocol(header) && !mcp.IsModernProtocol(meta) {
		if m.name != string(mcp.MethodInitialize) && !knownVersion(header) {
			return unknownVersion(header)
		}
		return nil
	}
	switch {
	case m.method == nil:
		return badRequest(mcp.INVALID_REQUEST, "Invalid request: since protocol version 2026-07-28 clients answer by calling again")
	case h.Get(mcp.HeaderLastEventID) != "":
		return badRequest(mcp.HEADER_MISMATCH, "Last-Event-ID: since protocol version 2026-07-28 streams can't be resumed; make the request again with a new id")
	case m.id == nil:
		return nil // it needs no more
	case header == "":
		return badRequest(mcp.HEADER_MISMATCH, mcp.HeaderProtocolVersion+": the header is missing")
	case meta == "":
		return badRequest(mcp.INVALID_PARAMS, "missing or invalid _meta field "+mcp.MetaKeyProtocolVersion)
	case header != meta:
		return badRequest(mcp.HEADER_MISMATCH, mcp.HeaderProtocolVersion+": the header and _meta name different versions")
	case !mcp.IsValidProtocolVersion(meta):
		return unknownVersion(meta)
	}
	if err := mcp.ValidateStandardHeaders(h.Get, meta, mcp.MCPMethod(m.name), m.paramsInHeaders()); err != nil {
		return badRequest(mcp.HEADER_MISMATCH, err.Error())
	}
	return nil
}

// statusOfCode is the HTTP status that goes with the answer to a request of a
// protocol version without sessions.
func statusOfCode(code int) int {
	switch code {
	case mcp.METHOD_NOT_FOUND:
		return http.StatusNotFound
	case mcp.HEADER_MISMATCH, mcp.MISSING_REQUIRED_CLIENT_CAPABILITY, mcp.UNSUPPORTED_PROTOCOL_VERSION,
		mcp.INVALID_REQUEST, mcp.INVALID_PARAMS, mcp.PARSE_ERROR:
		return http.StatusBadRequest
	default:
		return http.StatusOK
	}
}
