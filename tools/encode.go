package tools

import (
	"encoding/json"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/internal/untrusted"
)

// AppendResult appends a tool result as JSON. It writes what mcp-go's own
// MarshalJSON writes, apart from the order of the members, but each payload
// once and straight into dst, where that one goes through a map and several
// passes.
func AppendResult(dst []byte, r *mcp.CallToolResult) ([]byte, error) {
	if len(r.InputRequests) > 0 || r.RequestState != "" {
		return appendMarshal(dst, r) // none of our tools asks back
	}
	if dst == nil {
		dst = make([]byte, 0, ResultSize(r))
	}
	dst = append(dst, '{')
	var err error
	if r.Meta != nil {
		dst = append(dst, `"_meta":`...)
		if dst, err = appendMarshal(dst, r.Meta); err != nil {
			return nil, err
		}
		dst = append(dst, ',')
	}
	if r.ResultType != "" {
		dst = append(dst, `"resultType":`...)
		dst = appendString(dst, string(r.ResultType))
		dst = append(dst, ',')
	}
	dst = append(dst, `"content":[`...)
	for i, c := range r.Content {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendContent(dst, c); err != nil {
			return nil, err
		}
	}
	dst = append(dst, ']')
	switch {
	case len(r.RawStructuredContent) > 0:
		dst = append(dst, `,"structuredContent":`...)
		dst = append(dst, r.RawStructuredContent...)
	case r.StructuredContent != nil:
		dst = append(dst, `,"structuredContent":`...)
		if dst, err = appendMarshal(dst, r.StructuredContent); err != nil {
			return nil, err
		}
	}
	if r.IsError {
		dst = append(dst, `,"isError":true`...)
	}
	return append(dst, '}'), nil
}

// ResultSize is about how many bytes AppendResult will append: an estimate that
// makes room for the payload at once, so that the buffer is not grown over and
// over.
func ResultSize(r *mcp.CallToolResult) int {
	n := 512 + len(r.RawStructuredContent)
	for _, c := range r.Content {
		n += 256
		switch c := c.(type) {
		case textBlock:
			n += c.size() + c.size()/32
		case mcp.TextContent:
			n += len(c.Text) + len(c.Text)/32
		case mcp.ImageContent:
			n += len(c.Data)
		}
	}
	return n
}

// contentSize is how many bytes of content a result has, without the JSON around
// them.
func contentSize(r *mcp.CallToolResult) int {
	n := len(r.RawStructuredContent)
	for _, c := range r.Content {
		switch c := c.(type) {
		case textBlock:
			n += c.size()
		case mcp.TextContent:
			n += len(c.Text)
		case mcp.ImageContent:
			n += len(c.Data)
		}
	}
	return n
}

// appendContent appends one content block. The kinds that our tools make are
// written directly; anything else goes through encoding/json.
func appendContent(dst []byte, c mcp.Content) ([]byte, error) {
	switch c := c.(type) {
	case textBlock:
		return append(c.appendTo(dst), '}'), nil
	case mcp.TextContent:
		if c.Annotations == nil && c.Meta == nil {
			return append(textBlock{pieces: []piece{{plain: c.Text}}}.appendTo(dst), '}'), nil
		}
	case mcp.ImageContent:
		if c.Annotations == nil && c.Meta == nil {
			dst = append(dst, `{"type":"image","data":`...)
			dst = appendString(dst, c.Data)
			dst = append(dst, `,"mimeType":`...)
			return append(appendString(dst, c.MIMEType), '}'), nil
		}
	}
	return appendMarshal(dst, c)
}

func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // it replaces invalid UTF-8, and can't fail otherwise
	return dst
}

func appendMarshal(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode tool result: %w", err)
	}
	return append(dst, b...), nil
}

// lenient takes JSON inside a payload as the service gave it: a claim that has
// burned must not be lost over a repeated name.
var lenient = []jsonv2.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// marshal writes a tool's output on one line, as the stdio transport needs. What
// can't be seen stands there as an escape: names and metadata are a stranger's.
func marshal(out any) ([]byte, error) {
	b, err := jsonv2.Marshal(out, lenient...)
	return untrusted.EscapeJSON(b), err
}
