package tools

import (
	"encoding/json"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// textBlock is a text content block that is made of pieces. Each piece keeps the
// form in which it came, so that a payload of megabytes is not unquoted and
// quoted again on its way through.
type textBlock struct {
	mcp.TextContent // makes it a content block; its own fields stay empty

	pieces []piece
}

// piece is a part of a text. Exactly one of its fields is set.
type piece struct {
	token jsontext.Value // a JSON string, as it came
	plain string         // a text
	value jsontext.Value // a JSON value that is shown as its JSON text
}

// MarshalJSON writes the block as any text block.
func (b textBlock) MarshalJSON() ([]byte, error) {
	return append(b.appendTo(nil), '}'), nil
}

// appendTo appends the block without its closing brace.
func (b textBlock) appendTo(dst []byte) []byte {
	dst = append(dst, `{"type":"text","text":"`...)
	for _, p := range b.pieces {
		dst = p.appendTo(dst)
	}
	return append(dst, '"')
}

// appendTo appends the piece as a part of a JSON string.
func (p piece) appendTo(dst []byte) []byte {
	if p.token != nil {
		return append(dst, p.token[1:len(p.token)-1]...)
	}
	start := len(dst)
	// AppendQuote replaces invalid UTF-8, and can't fail otherwise.
	if p.value != nil {
		dst, _ = jsontext.AppendQuote(dst, []byte(p.value))
	} else {
		dst, _ = jsontext.AppendQuote(dst, p.plain)
	}
	quoted := dst[start:]
	n := copy(quoted, quoted[1:len(quoted)-1])
	return dst[:start+n]
}

// size is about how many bytes the block needs.
func (b textBlock) size() int {
	n := 0
	for _, p := range b.pieces {
		n += len(p.token) + len(p.plain) + len(p.value)
	}
	return n
}

// setStructured sets a result's structuredContent, as bytes that nothing needs
// to encode again.
func setStructured(res *mcp.CallToolResult, b []byte) {
	res.StructuredContent = json.RawMessage(b)
	res.RawStructuredContent = b
}

// structured is a result that says the same twice, as the protocol asks: as
// structuredContent, and as JSON text for older hosts.
func structured(out any) (*mcp.CallToolResult, error) {
	b, err := marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	res := &mcp.CallToolResult{Content: []mcp.Content{textBlock{pieces: []piece{{value: b}}}}}
	setStructured(res, b)
	return res, nil
}
