package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/args"
	"kubbi-mcp/tools/files"
)

const sendFilesDescription = `Hand binary or several files to another agent, session, tool or person as one package: stores them encrypted for a limited time and returns one claim_url. ` +
	`Use it for work that has parts: role says what each file is for. Files on this machine go by path, whatever their size and kind, without passing through you. ` +
	`Whoever has the claim_url can read all files; for secrets set max_retrievals to 1. ` +
	`Names, types and roles can be read without claiming: put no secrets in them. For a single text or JSON value use send.`

type sendFilesInput struct {
	Files []fileInput `json:"files" jsonschema:"In the recipient's order. At most 20; together 50 MiB as content, or 256 MiB by path unless configured otherwise."`
	sendTerms
}

type fileInput struct {
	Name        string    `json:"name,omitzero" jsonschema:"Without folders, in any script, unique. Required with content; with path the default is the file's own."`
	Content     args.Text `json:"content,omitzero" jsonschema:"Its text, or its bytes in base64. Give either content or path."`
	Path        string    `json:"path,omitzero" jsonschema:"A file on this machine, a folder for all files in it, or a pattern such as /work/logs/*.log; in a folder that the user allows."`
	ContentType string    `json:"content_type,omitzero" jsonschema:"MIME type. Default: from name or file."`
	Role        string    `json:"role,omitzero"`
	Encoding    string    `json:"encoding,omitzero" jsonschema:"Of content."`
}

type sendFilesOutput struct {
	sentOutput
	FileCount      *int       `json:"file_count"`
	TotalSizeBytes *int64     `json:"total_size_bytes" jsonschema:"Decoded."`
	Files          []sentFile `json:"files,omitzero" jsonschema:"The files that were sent by path."`
	HiddenLeftOut  int        `json:"hidden_left_out,omitzero" jsonschema:"Hidden files and folders that path does not take."`
	Notes          []string   `json:"notes,omitzero" jsonschema:"What was changed on the way, and why."`
}

func (t *toolset) sendFiles() definition {
	return define(t, "send_files", "Send files", sendFilesDescription,
		hints{readOnly: false, destructive: false, idempotent: false, openWorld: true},
		func(ctx context.Context, inv invocation, in sendFilesInput) (*mcp.CallToolResult, error) {
			to, err := recipientsOf(in.To)
			if err != nil {
				return nil, err
			}
			sealed := t.sealed(in.Sealed) || len(to) > 0
			p, err := packageOf(inv.rules, in.Files)
			if err == nil && !sealed { // the service does not see sealed names
				err = p.useServiceNames(ctx, t.Client)
			}
			if err == nil && in.Handle {
				err = t.handleFault()
			}
			if err != nil {
				return nil, err
			}
			sent, err := t.Client.SendFiles(ctx, kubbi.SendFilesParams{
				Files:         p.files,
				Sources:       p.sources,
				Sealed:        sealed,
				To:            to,
				TTL:           t.ttl(in.TTLSeconds),
				MaxRetrievals: int(in.MaxRetrievals),
				Metadata:      in.Metadata.OrNil(),
				Progress:      progressOf(ctx),
			})
			if err != nil {
				return nil, err
			}
			out := sendFilesOutput{
				sentOutput:     t.sentOf(sent, to),
				FileCount:      sent.FileCount,
				TotalSizeBytes: sent.TotalSizeBytes,
				Files:          p.sent(),
				HiddenLeftOut:  p.hidden,
				Notes:          p.allNotes(),
			}
			if in.Handle {
				if err := t.keepHandle(ctx, inv, &out.sentOutput, ""); err != nil {
					return nil, err
				}
			}
			return structured(out)
		})
}

// outgoing is a package that is about to be sent.
type outgoing struct {
	files   []kubbi.File
	sources []kubbi.Source // if there are any, there are no files
	local   []*localFile
	hidden  int      // left out
	notes   []string // in addition to those of local
}

// normalize accepts a file as hosts and models write it, and fills in its type.
func (f *fileInput) normalize() error {
	if f.Path != "" && f.Content.String == "" {
		f.Content.Given = false // some hosts fill in absent arguments
	}
	f.ContentType, f.Encoding = args.MediaType(f.ContentType), args.Encoding(f.Encoding)
	switch {
	case (f.Path == "") != f.Content.Given:
		return args.Error("give either content or path.")
	case !f.Content.Given:
		return nil
	case f.Name == "":
		return args.Error("name is required with content.")
	}
	if contentType, data, ok := args.DataURI(f.Content.String); ok && (f.Encoding != "" || isBinary(f.ContentType) || isBinary(files.TypeByName(f.Name))) {
		f.Encoding, f.Content.String = api.EncodingBase64, data
		f.ContentType = cmp.Or(f.ContentType, args.MediaType(contentType))
	}
	if f.Encoding != "" {
		f.Content.String = args.Base64(f.Content.String)
	}
	f.ContentType = cmp.Or(f.ContentType, files.TypeByName(f.Name), files.DefaultType(f.Encoding == ""))
	return nil
}

// isBinary reports whether a file of that type holds no text.
func isBinary(t string) bool {
	return strings.HasPrefix(t, "image/") && t != "image/svg+xml" || strings.HasPrefix(t, "audio/") || strings.HasPrefix(t, "video/") ||
		strings.HasPrefix(t, "font/") || t == "application/pdf" || t == "application/zip" || t == "application/octet-stream"
}

// packageOf gathers the files of a package. If one of them is given by path, all are sources,
// which are read while they are sent.
func packageOf(rules files.Rules, in []fileInput) (*outgoing, error) {
	var out outgoing
	byPath := slices.ContainsFunc(in, func(f fileInput) bool { return f.Path != "" })
	names := packageNames{}
	for i, f := range in {
		if err := f.normalize(); err != nil {
			return nil, args.Error(fmt.Sprintf("files.%d: %s", i, err))
		}
		if f.Content.Given {
			if !byPath {
				out.files = append(out.files, kubbi.File{Name: f.Name, Content: f.Content.String, ContentType: f.ContentType, Role: f.Role, Encoding: f.Encoding})
				continue
			}
			source, err := inlineSource(f)
			if err == nil {
				err = names.add(f.Name, fmt.Sprintf("files.%d", i))
			}
			if err != nil {
				return nil, err
			}
			out.sources = append(out.sources, source)
			continue
		}
		local, hidden, err := f.expand(rules, api.DefaultLimits().Files)
		if err != nil {
			return nil, err
		}
		out.hidden += hidden
		for _, l := range local {
			if err := names.addLocal(l); err != nil {
				return nil, err
			}
			l.place = len(out.sources)
			out.sources = append(out.sources, l.source())
			out.local = append(out.local, l)
		}
	}
	return &out, nil
}

// sent is what the result says of the files that were sent by path.
func (o *outgoing) sent() []sentFile {
	var all []sentFile
	for _, l := range o.local {
		all = append(all, l.sent())
	}
	return all
}
