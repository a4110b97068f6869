package files

import (
	"bytes"
	"cmp"
	"io"
	"mime"
	"path"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"kubbi-mcp/internal/content"
	"kubbi-mcp/kubbi/api"
)

// Content says what is in a file.
type Content struct {
	Text bool   // valid UTF-8 without a zero byte: it can be sent as it is
	Type string // MIME type, by the file's extension, else by its content
}

// Detect finds out what is in a file. It reads r to its end, in pieces, unless it is not
// text.
func Detect(name string, r io.Reader) (Content, error) {
	const headSize = 3072 // what tells a type; mimetype's own default
	var utf8 content.Text
	var head []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(r, buf)
		piece, last := buf[:n], err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !last {
			return Content{}, err
		}
		if head == nil {
			head = bytes.Clone(piece[:min(n, headSize)])
		}
		text := bytes.IndexByte(piece, 0) < 0 && utf8.Write(piece) == ""
		if last {
			text = text && utf8.End() == ""
		}
		if last || !text {
			return Content{Text: text, Type: typeOf(name, text, head)}, nil
		}
	}
}

// typeOf gives a file's type by its extension, else by its first bytes.
func typeOf(name string, text bool, head []byte) string {
	if t := TypeByName(name); t != "" && !(text && isMedia(t)) {
		return t
	}
	t, _, err := mime.ParseMediaType(mimetype.Detect(head).String())
	if err != nil || text && t == "application/octet-stream" {
		return DefaultType(text)
	}
	if !text && strings.HasPrefix(t, "text/plain") {
		return DefaultType(false)
	}
	return t
}

// isMedia reports whether a type is audio, video or an image, which no text is: some
// machines' tables say that go.mod is audio.
func isMedia(t string) bool {
	kind, _, _ := strings.Cut(t, "/")
	return (kind == "audio" || kind == "video" || kind == "image") && !strings.HasSuffix(t, "+xml")
}

// TypeByName gives the MIME type of a file's extension, "" if none is known.
func TypeByName(name string) string {
	extension := strings.ToLower(path.Ext(name))
	if t := typesByExtension[extension]; t != "" {
		return t
	}
	t, _, err := mime.ParseMediaType(mime.TypeByExtension(extension))
	if err != nil {
		return ""
	}
	return t
}

// DefaultType is the type of a file if all that is known is whether it is text.
func DefaultType(text bool) string {
	if !text {
		return "application/octet-stream"
	}
	return api.TypeText
}

// SingleType is the type of a single content that fits a file's name. There are four.
func SingleType(name string) string {
	if t := TypeByName(name); slices.Contains(api.ContentTypes, t) {
		return t
	}
	return api.TypeText
}

// SingleName is the file name of a single content.
func SingleName(contentType string) string {
	return cmp.Or(singleNames[contentType], "content.txt")
}

var singleNames = map[string]string{api.TypeJSON: "content.json", api.TypeMarkdown: "content.md", api.TypeCSV: "content.csv"}

// typesByExtension are those that agents use most. They do not depend on the machine's
// own table.
var typesByExtension = map[string]string{
	".txt": api.TypeText, ".log": api.TypeText, ".text": api.TypeText, ".md": api.TypeMarkdown, ".markdown": api.TypeMarkdown,
	".csv": api.TypeCSV, ".tsv": "text/tab-separated-values", ".json": api.TypeJSON, ".map": api.TypeJSON,
	".jsonl": "application/x-ndjson", ".ndjson": "application/x-ndjson", ".yaml": "application/yaml", ".yml": "application/yaml",
	".toml": "application/toml", ".xml": "application/xml", ".html": "text/html", ".htm": "text/html", ".css": "text/css",
	".js": "text/javascript", ".mjs": "text/javascript", ".cjs": "text/javascript", ".jsx": "text/javascript",
	".ts": "text/x-typescript", ".tsx": "text/x-typescript", ".py": "text/x-python", ".go": "text/x-go", ".rs": "text/x-rust",
	".java": "text/x-java", ".c": "text/x-c", ".h": "text/x-c", ".cc": "text/x-c++", ".cpp": "text/x-c++", ".hpp": "text/x-c++",
	".rb": "text/x-ruby", ".sh": "text/x-shellscript", ".bash": "text/x-shellscript", ".sql": "application/sql",
	".diff": "text/x-diff", ".patch": "text/x-diff",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp", ".svg": "image/svg+xml",
	".pdf": "application/pdf", ".zip": "application/zip", ".gz": "application/gzip", ".tgz": "application/gzip", ".tar": "application/x-tar",
	".mp3": "audio/mpeg", ".wav": "audio/wav", ".mp4": "video/mp4",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
