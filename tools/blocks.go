package tools

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi/api"
)

// textBlock is a text content block that keeps the text in the form it came in,
// so that a payload of megabytes is neither unquoted nor quoted on its way
// through. Exactly one of its fields is set.
type textBlock struct {
	mcp.TextContent // makes it a content block; its own fields stay empty

	token jsontext.Value // a JSON string, as it came
	plain string         // a text
	value jsontext.Value // a JSON value that is shown as text
}

// quoted gives the text as a JSON string.
func (b textBlock) quoted() jsontext.Value {
	if b.token != nil {
		return b.token
	}
	return appendQuoted(nil, b.plain, b.value)
}

// MarshalJSON writes the block as any text block.
func (b textBlock) MarshalJSON() ([]byte, error) {
	return append(b.appendTo(nil), '}'), nil
}

// appendTo appends the block without its closing brace.
func (b textBlock) appendTo(dst []byte) []byte {
	dst = append(dst, `{"type":"text","text":`...)
	if b.token != nil {
		return append(dst, b.token...)
	}
	return appendQuoted(dst, b.plain, b.value)
}

// size is about how many bytes the block needs.
func (b textBlock) size() int { return len(b.token) + len(b.plain) + len(b.value) }

func appendQuoted(dst []byte, plain string, value jsontext.Value) []byte {
	if value != nil {
		dst, _ = jsontext.AppendQuote(dst, []byte(value)) // it replaces invalid UTF-8, and can't fail otherwise
		return dst
	}
	dst, _ = jsontext.AppendQuote(dst, plain)
	return dst
}

// contentBlock shows a single content: a string of a text type as its text, any
// other value as JSON text.
func contentBlock(content jsontext.Value, contentType string) textBlock {
	if len(content) == 0 {
		return textBlock{value: jsontext.Value("null")}
	}
	if content.Kind() == '"' && contentType != api.TypeJSON {
		return textBlock{token: content}
	}
	return textBlock{value: content}
}

// fileBlock shows a file: text as text, the images that hosts can show as
// images, everything else as an embedded resource. Text is given back as well.
func fileBlock(f api.ClaimedFile) (block mcp.Content, text string) {
	if f.Encoding == "" {
		return textBlock{plain: f.Content}, f.Content
	}
	mediaType, _, _ := strings.Cut(strings.ToLower(f.ContentType), ";")
	mediaType = strings.TrimSpace(mediaType)
	switch {
	case isText(mediaType):
		b, err := base64.StdEncoding.DecodeString(f.Content)
		if err == nil && utf8.Valid(b) {
			return textBlock{plain: string(b)}, string(b)
		}
	case isImage(mediaType, f.Content):
		return mcp.NewImageContent(f.Content, mediaType), ""
	}
	return mcp.NewEmbeddedResource(mcp.BlobResourceContents{
		URI:      "kubbi-file:///" + url.PathEscape(f.Name),
		MIMEType: f.ContentType,
		Blob:     f.Content,
	}), ""
}

// isText reports whether a type is one that a model reads as text.
func isText(mediaType string) bool {
	switch mediaType {
	case api.TypeJSON, "application/xml", "application/yaml", "application/toml", "application/sql", "application/x-ndjson":
		return true
	}
	return strings.HasPrefix(mediaType, "text/") ||
		strings.HasSuffix(mediaType, "+json") || strings.HasSuffix(mediaType, "+xml") || strings.HasSuffix(mediaType, "+yaml")
}

// isImage reports whether a file is an image of its type. Hosts pass images on
// to models, and some of those refuse the whole conversation over one whose
// bytes are something else.
func isImage(mediaType, base64Content string) bool {
	switch mediaType {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
	default:
		return false
	}
	const sniff = 512 // what DetectContentType looks at; a multiple of 3 and 4 below
	head := base64Content[:min(len(base64Content), sniff/3*4)]
	b, err := base64.StdEncoding.DecodeString(head)
	return err == nil && http.DetectContentType(b) == mediaType
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
	res := &mcp.CallToolResult{Content: []mcp.Content{textBlock{value: b}}}
	setStructured(res, b)
	return res, nil
}
