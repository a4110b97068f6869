package transport

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// utf8Mark is the byte order mark. Some hosts on Windows write it before their
// first message.
var utf8Mark = []byte("\xef\xbb\xbf")

// withoutMark gives a message without the byte order mark at its start.
func withoutMark(line []byte) []byte { return bytes.TrimPrefix(line, utf8Mark) }

// isUTF16 reports whether a message is UTF-16 or UTF-32. JSON in UTF-8 has no zero
// bytes.
func isUTF16(line []byte) bool {
	head := line[:min(len(line), 8)]
	return bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) || bytes.IndexByte(head, 0) >= 0
}

// faultOfUTF16 gives the answer to a message in UTF-16. Without the zero bytes the
// id can be read if it is ASCII.
func faultOfUTF16(line []byte) *Error {
	head := bytes.TrimPrefix(bytes.TrimPrefix(start(line), []byte("\xff\xfe")), []byte("\xfe\xff"))
	id, _ := headID(bytes.ReplaceAll(head, []byte{0}, nil))
	return &Error{
		Code:    mcp.PARSE_ERROR,
		Message: "Parse error: the message is UTF-16, and MCP messages are UTF-8: have the program that writes them use UTF-8",
		id:      id,
	}
}

// faultOfText gives the answer to a request with a text that is not valid Unicode.
// It says where the text is, and repeats nothing of it.
func faultOfText(line []byte, err *jsontext.SyntacticError) *Error {
	at := ""
	for i, name := range strings.Split(strings.TrimPrefix(string(err.JSONPointer), "/"), "/") {
		if i == 3 { // deeper names are content
			break
		}
		if i > 0 {
			at += "."
		}
		at += name
	}
	if at == "" || len(at) > 100 || !utf8.ValidString(at) {
		at = "the message"
	}
	if !utf8.Valid(line) {
		return invalidParams(nil, "Invalid params: %s holds bytes that are not UTF-8 (at byte %d): encode the text as UTF-8, and send binary content as base64", at, err.ByteOffset)
	}
	return invalidParams(nil, `Invalid params: %s holds half of a character (at byte %d), a \ud800 to \udfff without its other half: send the whole character or leave it out`, at, err.ByteOffset)
}
