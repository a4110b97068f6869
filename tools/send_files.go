package tools

import (
	"context"
	"mime"
	"path"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

const sendFilesDescription = `Hand several files to another agent, session, tool or person as one package: stores them encrypted for a limited time and returns one claim_url. ` +
	`Use it to pass on work that has parts: say what each file is for with its role (instructions, data, context, config, attachment). ` +
	`Text goes as it is; binary goes as base64 with encoding set to base64. ` +
	`Whoever has the claim_url can read all files. For secrets set max_retrievals to 1. ` +
	`File names, types, roles and metadata can be read without claiming: put no secrets in them. For a single text or JSON value use send.`

type sendFilesInput struct {
	Files         []fileInput    `json:"files" jsonschema:"The files, in the order in which the recipient should see them. At most 20 files and 50 MiB together; the hosted service may allow fewer."`
	TTLSeconds    whole          `json:"ttl_seconds,omitzero" jsonschema:"Seconds until the package is wiped, 60 to 86400. Default 3600 (one hour), unless the server was started with another default."`
	MaxRetrievals *whole         `json:"max_retrievals,omitzero" jsonschema:"How often the package may be claimed; the last claim wipes it. Use 1 for secrets. Leave out for no limit until the time is up."`
	Metadata      jsontext.Value `json:"metadata,omitzero" jsonschema:"A JSON object of at most 1 KB that describes the package. Readable by anyone with the claim URL without claiming, and not encrypted: no secrets here."`
}

type fileInput struct {
	Name        string `json:"name" jsonschema:"The file's name without folders: letters, digits, dot, underscore and hyphen, starting with a letter or digit. Unique in the package."`
	Content     string `json:"content" jsonschema:"The file's text, or its bytes in base64 when encoding says so."`
	ContentType string `json:"content_type,omitzero" jsonschema:"MIME type, as image/png. Default: from the name's ending."`
	Role        string `json:"role,omitzero" jsonschema:"What the file is for."`
	Encoding    string `json:"encoding,omitzero" jsonschema:"Set to base64 when content is base64. Leave out for text."`
}

type sendFilesOutput struct {
	ID             string         `json:"id" jsonschema:"The kubbi's id, for get and delete. It gives no access to the files."`
	ClaimURL       string         `json:"claim_url" jsonschema:"Give this to the recipient. Whoever has it can read the files."`
	Status         api.Status     `json:"status" jsonschema:"active, expired, burned or deleted."`
	FileCount      *int           `json:"file_count" jsonschema:"Number of files."`
	TotalSizeBytes *int64         `json:"total_size_bytes" jsonschema:"Size of all files together in bytes, decoded."`
	MaxRetrievals  *int           `json:"max_retrievals" jsonschema:"How often it may be claimed; null: no limit."`
	Metadata       jsontext.Value `json:"metadata" jsonschema:"The metadata as stored."`
	CreatedAt      api.Time       `json:"created_at" jsonschema:"When it was made, UTC."`
	ExpiresAt      api.Time       `json:"expires_at" jsonschema:"When it is wiped, UTC."`
}

func (t *toolset) sendFiles() definition {
	return define(t, "send_files", "Send files", sendFilesDescription,
		hints{readOnly: false, destructive: false, idempotent: false, openWorld: true},
		func(ctx context.Context, in sendFilesInput) (*mcp.CallToolResult, error) {
			files := make([]kubbi.File, len(in.Files))
			for i, f := range in.Files {
				files[i] = kubbi.File(f)
				if f.ContentType == "" {
					files[i].ContentType = ContentType(f.Name, f.Encoding != "")
				}
			}
			sent, err := t.Client.SendFiles(ctx, kubbi.SendFilesParams{
				Files:         files,
				TTL:           t.ttl(in.TTLSeconds),
				MaxRetrievals: in.MaxRetrievals.orZero(),
				Metadata:      orNil(in.Metadata),
				Progress:      progressOf(ctx),
			})
			if err != nil {
				return nil, err
			}
			return structured(sendFilesOutput{
				ID:             sent.ID,
				ClaimURL:       sent.ClaimURL,
				Status:         sent.Status,
				FileCount:      sent.FileCount,
				TotalSizeBytes: sent.TotalSizeBytes,
				MaxRetrievals:  sent.MaxRetrievals,
				Metadata:       orNull(sent.Metadata),
				CreatedAt:      sent.CreatedAt,
				ExpiresAt:      sent.ExpiresAt,
			})
		})
}

// ContentType gives the content type of a file that is sent without one, from its
// name's ending. The endings that agents use most are fixed here, so that they
// do not depend on the machine's own table, which is asked for the rest. binary
// says whether the content is anything but text.
func ContentType(name string, binary bool) string {
	ending := strings.ToLower(path.Ext(name))
	if t := endingType(ending); t != "" {
		return t
	}
	if t, _, err := mime.ParseMediaType(mime.TypeByExtension(ending)); err == nil {
		return t
	}
	if binary {
		return "application/octet-stream"
	}
	return api.TypeText
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
