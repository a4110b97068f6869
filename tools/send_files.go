package tools

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

const sendFilesDescription = `Hand several files to another agent, session, tool or person as one package: stores them encrypted for a limited time and returns one claim_url. ` +
	`Use it to pass on work that has parts: say what each file is for with its role (instructions, data, context, config, attachment). ` +
	`For a file that is on this machine give its path: then it is read and sent for you, whatever its size and kind, and does not pass through your context. ` +
	`Of what you write yourself, text goes as it is, and binary as base64 with encoding set to base64. ` +
	`Whoever has the claim_url can read all files. For secrets set max_retrievals to 1. ` +
	`File names, types, roles and metadata can be read without claiming: put no secrets in them. For a single text or JSON value use send.`

type sendFilesInput struct {
	Files         []fileInput    `json:"files" jsonschema:"The files, in the order in which the recipient should see them. At most 20 files; together 50 MiB as content, or 256 MiB by path unless the server was started with another limit. The hosted service may allow fewer."`
	TTLSeconds    whole          `json:"ttl_seconds,omitzero" jsonschema:"Seconds until the package is wiped, 60 to 86400. Default 3600 (one hour), unless the server was started with another default."`
	MaxRetrievals *whole         `json:"max_retrievals,omitzero" jsonschema:"How often the package may be claimed; the last claim wipes it. Use 1 for secrets. Leave out for no limit until the time is up."`
	Sealed        *bool          `json:"sealed,omitzero" jsonschema:"Encrypt it end to end: not even the service that stores it can read it, only who has the whole claim_url, with the part after #. Pass that on unchanged."`
	Metadata      jsontext.Value `json:"metadata,omitzero" jsonschema:"A JSON object of at most 1 KB that describes the package. Readable by anyone with the claim URL without claiming, and not encrypted: no secrets here."`
}

type fileInput struct {
	Name        string  `json:"name,omitzero" jsonschema:"The file's name without folders, one that every system can save, in any script. Unique in the package. Required with content; with path the default is the file's own name."`
	Content     *string `json:"content,omitzero" jsonschema:"The file's text, or its bytes in base64 when encoding says so. Give either content or path."`
	Path        string  `json:"path,omitzero" jsonschema:"Path of a file on this machine that is sent as it is, without passing through you; of a folder, to send all files in it; or a pattern such as /work/logs/*.log. It must be in a folder that the user allows. Give either path or content."`
	ContentType string  `json:"content_type,omitzero" jsonschema:"MIME type, as image/png. Default: from the name's ending, else from the file."`
	Role        string  `json:"role,omitzero" jsonschema:"What the file is for."`
	Encoding    string  `json:"encoding,omitzero" jsonschema:"Set to base64 when content is base64. Leave out for text, and with path."`
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
	Files          []sentFile     `json:"files,omitzero" jsonschema:"The files that were sent by path."`
	HiddenLeftOut  int            `json:"hidden_left_out,omitzero" jsonschema:"How many hidden files and folders were left out of what path stands for."`
	Notes          []string       `json:"notes,omitzero" jsonschema:"What was changed on the way, and why."`
}

func (t *toolset) sendFiles() definition {
	return define(t, "send_files", "Send files", sendFilesDescription,
		hints{readOnly: false, destructive: false, idempotent: false, openWorld: true},
		func(ctx context.Context, in sendFilesInput) (*mcp.CallToolResult, error) {
			sealed := t.sealed(in.Sealed)
			p, err := t.packageOf(ctx, in.Files, sealed)
			if err == nil && !sealed {
				err = p.nameFor(ctx, t.Client)
			}
			if err != nil {
				return nil, err
			}
			sent, err := t.Client.SendFiles(ctx, kubbi.SendFilesParams{
				Files:         p.files,
				Sources:       p.sources,
				Sealed:        sealed,
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
				Files:          p.sent(),
				HiddenLeftOut:  p.hidden,
				Notes:          p.allNotes(),
			})
		})
}

// outgoing is a package on its way.
type outgoing struct {
	files   []kubbi.File
	sources []kubbi.Source // instead of files
	local   []*localFile
	hidden  int      // left out
	notes   []string // beside those of local
}

// packageOf gathers the files of a package. Unless all of them come with the
// arguments they are sources, which are read while they are sent.
func (t *toolset) packageOf(ctx context.Context, in []fileInput, sealed bool) (*outgoing, error) {
	var out outgoing
	byPath := slices.ContainsFunc(in, func(f fileInput) bool { return f.Path != "" })
	var rules files.Rules
	if byPath {
		rules = t.rules(ctx) // the host may be asked for its roots
	}
	seen := taken{}
	size := int64(0)
	for i, f := range in {
		switch {
		case (f.Path == "") == (f.Content == nil):
			return nil, argumentError(fmt.Sprintf("files.%d: give either content or path.", i))
		case f.Content != nil && f.Name == "":
			return nil, argumentError(fmt.Sprintf("files.%d: name is required with content.", i))
		}
		if f.Content != nil {
			if f.ContentType == "" {
				f.ContentType = files.ContentType(f.Name, f.Encoding != "")
			}
			if !byPath {
				out.files = append(out.files, kubbi.File{Name: f.Name, Content: *f.Content, ContentType: f.ContentType, Role: f.Role, Encoding: f.Encoding})
				continue
			}
			source, err := given(f)
			if err == nil {
				err = seen.add(f.Name, fmt.Sprintf("files.%d", i))
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
			if err := seen.addLocal(l); err != nil {
				return nil, err
			}
			l.place = len(out.sources)
			size += l.size
			out.sources = append(out.sources, l.source())
			out.local = append(out.local, l)
		}
	}
	return &out, checkSealed(sealed, size)
}

// sent is what the result says of the files that went by their paths.
func (o *outgoing) sent() []sentFile {
	var all []sentFile
	for _, l := range o.local {
		all = append(all, l.sent())
	}
	return all
}
