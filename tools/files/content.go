package files

import (
	"bytes"
	"io"
	"mime"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"

	"kubbi-mcp/kubbi/api"
)

// Content is what a look through a file has found.
type Content struct {
	Text bool   // valid UTF-8 without a zero byte: it can go as it is
	Type string // MIME type, by its name's ending, else by its content
}

// Look reads r to its end, in pieces, unless it turns out not to be text before.
func Look(name string, r io.Reader) (Content, error) {
	const head = 3072 // what tells a type; mimetype's own default
	buf := make([]byte, 64<<10)
	text, first, kept := true, []byte(nil), 0
	for text || len(first) < head {
		n, err := io.ReadFull(r, buf[kept:])
		piece := buf[:kept+n]
		if first == nil {
			first = bytes.Clone(piece[:min(len(piece), head)])
		}
		last := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !last {
			return Content{}, err
		}
		var whole int
		whole, text = textPrefix(piece)
		text = text && (!last || whole == len(piece))
		if last || !text {
			break
		}
		kept = copy(buf, piece[whole:])
	}
	return Content{Text: text, Type: typeOf(name, text, first)}, nil
}

// textPrefix gives how much of b is text, up to a character that b may have been
// cut in, and whether all before that is.
func textPrefix(b []byte) (int, bool) {
	if bytes.IndexByte(b, 0) >= 0 {
		return 0, false
	}
	end := len(b)
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				end -= i
			}
			break
		}
	}
	return end, utf8.Valid(b[:end])
}

// typeOf is a file's type by its name's ending, else by its first bytes.
func typeOf(name string, text bool, head []byte) string {
	if t := TypeByName(name); t != "" && !(text && isMedia(t)) {
		return t
	}
	t, _, err := mime.ParseMediaType(mimetype.Detect(head).String())
	if err != nil || text && t == "application/octet-stream" {
		return Untyped(text)
	}
	if !text && strings.HasPrefix(t, "text/plain") {
		return Untyped(false)
	}
	return t
}

// isMedia tells whether a type is one of sounds or pictures, which are not text:
// some machines' tables have the modules of a tracker for go.mod.
func isMedia(t string) bool {
	kind, _, _ := strings.Cut(t, "/")
	return (kind == "audio" || kind == "video" || kind == "image") && !strings.HasSuffix(t, "+xml")
}

// TypeByName gives the MIME type that a name's ending stands for, "" if none is
// known. The endings that agents use most are fixed here, so that they do not
// depend on the machine's own table, which is asked for the rest.
func TypeByName(name string) string {
	ending := strings.ToLower(path.Ext(name))
	if t := endingType(ending); t != "" {
		return t
	}
	t, _, err := mime.ParseMediaType(mime.TypeByExtension(ending))
	if err != nil {
		return ""
	}
	return t
}

// ContentType gives the content type of a file that is sent without one and of
// which nothing but its name is to be looked at. binary says whether its content
// is anything but text.
func ContentType(name string, binary bool) string {
	if t := TypeByName(name); t != "" {
		return t
	}
	return Untyped(!binary)
}

// Untyped is the type of a file of which nothing is known but whether it is text.
func Untyped(text bool) string {
	if !text {
		return "application/octet-stream"
	}
	return api.TypeText
}

// SingleType is the type of a single content that fits a file's name: the four
// that one can have leave little choice.
func SingleType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".json":
		return api.TypeJSON
	case ".md", ".markdown":
		return api.TypeMarkdown
	case ".csv":
		return api.TypeCSV
	default:
		return api.TypeText
	}
}

// SingleName is the file name of a single content of a type.
func SingleName(contentType string) string {
	switch contentType {
	case api.TypeJSON:
		return "content.json"
	case api.TypeMarkdown:
		return "content.md"
	case api.TypeCSV:
		return "content.csv"
	default:
		return "content.txt"
	}
}

func endingType(ending string) string {
	switch ending {
	case ".txt", ".log", ".text":
		return api.TypeText
	case ".md", ".markdown":
		return api.TypeMarkdown
	case ".csv":
		return api.TypeCSV
	case ".tsv":
		return "text/tab-separated-values"
	case ".json", ".map":
		return api.TypeJSON
	case ".jsonl", ".ndjson":
		return "application/x-ndjson"
	case ".yaml", ".yml":
		return "application/yaml"
	case ".toml":
		return "application/toml"
	case ".xml":
		return "application/xml"
	case ".html", ".htm":
		return "text/html"
	case ".css":
		return "text/css"
	case ".js", ".mjs", ".cjs", ".jsx":
		return "text/javascript"
	case ".ts", ".tsx":
		return "text/x-typescript"
	case ".py":
		return "text/x-python"
	case ".go":
		return "text/x-go"
	case ".rs":
		return "text/x-rust"
	case ".java":
		return "text/x-java"
	case ".c", ".h":
		return "text/x-c"
	case ".cc", ".cpp", ".hpp":
		return "text/x-c++"
	case ".rb":
		return "text/x-ruby"
	case ".sh", ".bash":
		return "text/x-shellscript"
	case ".sql":
		return "application/sql"
	case ".diff", ".patch":
		return "text/x-diff"
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".webp":
		return "image/webp"
	case ".svg":
		return "image/svg+xml"
	case ".pdf":
		return "application/pdf"
	case ".zip":
		return "application/zip"
	case ".gz", ".tgz":
		return "application/gzip"
	case ".tar":
		return "application/x-tar"
	case ".mp3":
		return "audio/mpeg"
	case ".wav":
		return "audio/wav"
	case ".mp4":
		return "video/mp4"
	case ".docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case ".xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	default:
		return ""
	}
}
