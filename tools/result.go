package tools

import (
	"encoding/json"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/internal/untrusted"
	"kubbi-mcp/kubbi"
)

// textBlock is a text content block that is made of pieces.
type textBlock struct {
	mcp.TextContent // makes it a content block; its own fields stay empty

	pieces []piece
}

// piece is a part of a text. Exactly one field is set.
type piece struct {
	text   string
	quoted jsontext.Value // a JSON string as it came, so that megabytes are not unquoted and quoted again
}

// MarshalJSON writes the block as any text block.
func (b textBlock) MarshalJSON() ([]byte, error) { return b.appendTo(nil), nil }

func (b textBlock) appendTo(dst []byte) []byte {
	dst = append(dst, `{"type":"text","text":"`...)
	for _, p := range b.pieces {
		dst = p.appendTo(dst)
	}
	return append(dst, `"}`...)
}

// appendTo appends the piece as a part of a JSON string.
func (p piece) appendTo(dst []byte) []byte {
	if p.quoted != nil {
		return append(dst, p.quoted[1:len(p.quoted)-1]...)
	}
	start := len(dst)
	dst = appendString(dst, p.text)
	n := copy(dst[start:], dst[start+1:len(dst)-1])
	return dst[:start+n]
}

// textResult is a result of one text block.
func textResult(pieces ...piece) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{textBlock{pieces: pieces}}}
}

// structured is a result that says the same twice, as the protocol asks: as
// structuredContent, and as JSON text for older hosts.
func structured(out any) (*mcp.CallToolResult, error) {
	b, err := marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	res := textResult(piece{text: string(b)})
	res.StructuredContent, res.RawStructuredContent = json.RawMessage(b), b
	return res, nil
}

// lenient accepts JSON inside a payload as the service gave it. A claim that has
// burned must not be lost because a name stands twice.
var lenient = []jsonv2.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// marshal writes a tool's output on one line, as stdio needs it. Invisible
// characters become escapes: names and metadata come from strangers.
func marshal(out any) ([]byte, error) {
	b, err := jsonv2.Marshal(out, lenient...)
	return untrusted.EscapeJSON(b), err
}

// maxDepth is how deep metadata may be nested to stand in an answer as a value.
// Hosts lose an answer that is nested deeper than they can read.
const maxDepth = 32

// orNull gives metadata for an answer: null if there is none, and JSON text if it is
// nested too deep. The encrypted keys of recipients are left out.
func orNull(v json.RawMessage) jsontext.Value {
	v = kubbi.ReadableMetadata(v)
	depth, deepest := 0, 0
	for _, c := range v { // brackets in strings count too
		switch c {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	switch {
	case len(v) == 0:
		return jsontext.Value("null")
	case deepest > maxDepth:
		return appendString(nil, string(v))
	default:
		return jsontext.Value(v)
	}
}

// AppendResult appends a tool result as JSON. It writes what mcp-go's MarshalJSON
// writes, apart from the order of the members. But it copies a payload once and
// straight into dst; mcp-go's goes through a map and several passes.
func AppendResult(dst []byte, r *mcp.CallToolResult) ([]byte, error) {
	if len(r.InputRequests) > 0 || r.RequestState != "" { // a question to the host, and no payload
		return appendMarshal(dst, r)
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
		dst = append(appendString(append(dst, `"resultType":`...), string(r.ResultType)), ',')
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
	if r.StructuredContent != nil || len(r.RawStructuredContent) > 0 {
		dst = append(dst, `,"structuredContent":`...)
		if len(r.RawStructuredContent) > 0 {
			dst = append(dst, r.RawStructuredContent...)
		} else if dst, err = appendMarshal(dst, r.StructuredContent); err != nil {
			return nil, err
		}
	}
	if r.IsError {
		dst = append(dst, `,"isError":true`...)
	}
	return append(dst, '}'), nil
}

// ResultSize estimates how many bytes AppendResult appends, so that a large buffer
// need not grow.
func ResultSize(r *mcp.CallToolResult) int {
	n := contentSize(r)
	return 512 + 256*len(r.Content) + n + n/32
}

// contentSize is how many bytes of content a result has, without the JSON around
// them.
func contentSize(r *mcp.CallToolResult) int {
	n := len(r.RawStructuredContent)
	for _, c := range r.Content {
		switch c := c.(type) {
		case textBlock:
			for _, p := range c.pieces {
				n += len(p.quoted) + len(p.text)
			}
		case mcp.TextContent:
			n += len(c.Text)
		case mcp.ImageContent:
			n += len(c.Data)
		}
	}
	return n
}

func appendContent(dst []byte, c mcp.Content) ([]byte, error) {
	switch c := c.(type) {
	case textBlock:
		return c.appendTo(dst), nil
	case mcp.TextContent: // an error's, where json.Marshal would escape < and >
		if c.Annotations == nil && c.Meta == nil {
			return textBlock{pieces: []piece{{text: c.Text}}}.appendTo(dst), nil
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
