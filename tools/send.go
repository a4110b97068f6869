package tools

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

const sendDescription = `Hand one piece of content to another agent, session, tool or person: stores it encrypted for a limited time and returns a claim_url. ` +
	`Use it instead of pasting long text, data or a secret into a message: pass on only the claim_url. ` +
	`Whoever has the claim_url can read the content, so give it to the intended recipient alone. ` +
	`For a secret set max_retrievals to 1: the first claim then wipes it. ` +
	`A text file on this machine is sent by its path, without passing through your context. ` +
	`Metadata can be read without claiming and is not encrypted: put no secrets in it. For a binary file, or several files, use send_files.`

type sendInput struct {
	Content       anyValue       `json:"content,omitzero" jsonschema:"The payload: any JSON value. A string is sent as text, anything else as JSON. Give either content or path."`
	Path          string         `json:"path,omitzero" jsonschema:"Path of a text file on this machine whose content is sent, without passing through you. It must be in a folder that the user allows. Give either path or content."`
	ContentType   string         `json:"content_type,omitzero" jsonschema:"How the recipient should read it. Default: text/plain for a string, application/json for anything else. A string given as application/json must itself be JSON text."`
	TTLSeconds    whole          `json:"ttl_seconds,omitzero" jsonschema:"Seconds until the content is wiped, 60 to 86400. Default 3600 (one hour), unless the server was started with another default."`
	MaxRetrievals *whole         `json:"max_retrievals,omitzero" jsonschema:"How often it may be claimed; the last claim wipes it. Use 1 for secrets. Leave out for no limit until the time is up."`
	Sealed        *bool          `json:"sealed,omitzero" jsonschema:"Encrypt it end to end: not even the service that stores it can read it, only who has the whole claim_url, with the part after #. Pass that on unchanged."`
	Metadata      jsontext.Value `json:"metadata,omitzero" jsonschema:"A JSON object of at most 1 KB that describes the content. Readable by anyone with the claim URL without claiming, and not encrypted: no secrets here."`
}

// anyValue is a payload of any kind, as a part of the arguments: a long one is
// neither copied out of them nor read again (see payloadInput).
type anyValue struct{ value jsontext.Value }

// UnmarshalJSONFrom skips what decode has left in the payload's place.
func (*anyValue) UnmarshalJSONFrom(dec *jsontext.Decoder) error { return dec.SkipValue() }

func (in *sendInput) payload() (string, *anyValue) { return "content", &in.Content }

type sendOutput struct {
	ID            string         `json:"id" jsonschema:"The kubbi's id, for get and delete. It gives no access to the content."`
	ClaimURL      string         `json:"claim_url" jsonschema:"Give this to the recipient. Whoever has it can read the content."`
	Status        api.Status     `json:"status" jsonschema:"active, expired, burned or deleted."`
	ContentType   string         `json:"content_type" jsonschema:"The content's type."`
	MaxRetrievals *int           `json:"max_retrievals" jsonschema:"How often it may be claimed; null: no limit."`
	Metadata      jsontext.Value `json:"metadata" jsonschema:"The metadata as stored."`
	CreatedAt     api.Time       `json:"created_at" jsonschema:"When it was made, UTC."`
	ExpiresAt     api.Time       `json:"expires_at" jsonschema:"When it is wiped, UTC."`
	Path          string         `json:"path,omitzero" jsonschema:"Where the content was read."`
	SizeBytes     *int64         `json:"size_bytes,omitzero" jsonschema:"Its size in bytes, with path."`
	SHA256        string         `json:"sha256,omitzero" jsonschema:"Checksum of the file, hexadecimal, with path."`
	Notes         []string       `json:"notes,omitzero" jsonschema:"What was changed on the way, and why."`
}

func (t *toolset) send() definition {
	return define(t, "send", "Send content", sendDescription,
		hints{readOnly: false, destructive: false, idempotent: false, openWorld: true},
		func(ctx context.Context, in sendInput) (*mcp.CallToolResult, error) {
			params := kubbi.SendParams{
				TTL:           t.ttl(in.TTLSeconds),
				MaxRetrievals: in.MaxRetrievals.orZero(),
				Metadata:      orNil(in.Metadata),
				Sealed:        t.sealed(in.Sealed),
				Progress:      progressOf(ctx),
			}
			var local *localFile
			var err error
			switch {
			case (in.Path == "") == (in.Content.value == nil):
				err = argumentError("Give either content or path.")
			case in.Path != "":
				local, err = t.contentOf(ctx, in, &params)
			default:
				params.Content, params.ContentType, err = payload(in.Content.value, in.ContentType)
			}
			if err != nil {
				return nil, err
			}
			sent, err := t.Client.Send(ctx, params)
			if err != nil {
				return nil, err
			}
			out := sendOutput{
				ID:            sent.ID,
				ClaimURL:      sent.ClaimURL,
				Status:        sent.Status,
				ContentType:   sent.ContentType,
				MaxRetrievals: sent.MaxRetrievals,
				Metadata:      orNull(sent.Metadata),
				CreatedAt:     sent.CreatedAt,
				ExpiresAt:     sent.ExpiresAt,
			}
			if local != nil {
				out.Path, out.SizeBytes, out.SHA256 = local.Path, &local.size, local.checksum()
				out.Notes = local.notes
			}
			return structured(out)
		})
}

// payload settles what is sent, and as which type. The value it gives is a
// part of content, or the JSON that a string holds.
func payload(content jsontext.Value, contentType string) (jsontext.Value, string, error) {
	isString := content.Kind() == '"'
	switch {
	case contentType == "" && isString:
		return content, api.TypeText, nil
	case contentType == "":
		return content, api.TypeJSON, nil
	case contentType == api.TypeJSON && isString:
		text, err := jsontext.AppendUnquote(nil, content)
		if err != nil || !jsontext.Value(text).IsValid() {
			return nil, "", argumentError("content is a string given as application/json, but it does not hold valid JSON. " +
				"Pass the JSON value itself, or leave content_type out to send the string as text.")
		}
		return text, contentType, nil
	case contentType != api.TypeJSON && !isString:
		return nil, "", argumentError(fmt.Sprintf("content_type %s needs content that is a string. "+
			"Pass a string, or leave content_type out to send the value as JSON.", contentType))
	default:
		return content, contentType, nil
	}
}

// sealed is whether to seal: as asked for, or as configured.
func (t *toolset) sealed(asked *bool) bool {
	if asked == nil {
		return t.Sealed
	}
	return *asked
}

// ttl is the time a new kubbi lives: as asked for, or the configured default.
func (t *toolset) ttl(seconds whole) time.Duration {
	if seconds == 0 {
		return t.DefaultTTL
	}
	return time.Duration(seconds) * time.Second
}
