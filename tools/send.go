package tools

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/args"
)

const sendDescription = `Hand one text or JSON value to another agent, session, tool or person: stores it encrypted for a limited time and returns a claim_url to pass on in its place. ` +
	`Use it for long text, data and secrets. Whoever has the claim_url can read the content: give it to the recipient alone. ` +
	`For a secret set max_retrievals to 1: the first claim then wipes it; put no secrets in metadata. ` +
	`A text file on this machine goes by its path, without passing through you. For binary or several files use send_files.`

type sendInput struct {
	Content     args.Any `json:"content,omitzero" jsonschema:"Text, or any JSON value. Give one of content, path and env."`
	Path        string   `json:"path,omitzero" jsonschema:"A text file on this machine, in a folder that the user allows."`
	Env         string   `json:"env,omitzero" jsonschema:"Name of an environment variable of this server that the user allows. Its value is sent sealed, and you never see it: you get an id as with handle, or, with to, a claim_url."`
	ContentType string   `json:"content_type,omitzero" jsonschema:"Default: text/plain for a string, else application/json."`
	sendTerms
}

// Payload implements args.WithPayload.
func (in *sendInput) Payload() (string, *args.Any) { return "content", &in.Content }

// sendTerms are the arguments that send and send_files share.
type sendTerms struct {
	TTLSeconds    args.Int    `json:"ttl_seconds,omitzero" jsonschema:"Seconds until it is wiped. Default 3600, unless configured otherwise."`
	MaxRetrievals args.Int    `json:"max_retrievals,omitzero" jsonschema:"How often it may be claimed; the last claim wipes it. Default: no limit."`
	Sealed        *bool       `json:"sealed,omitzero" jsonschema:"Encrypt it end to end: only the whole claim_url, with all after #, opens it."`
	To            []string    `json:"to,omitzero" jsonschema:"Public keys, kbp_..., of the only recipients who can open it, even if the claim_url leaks. A recipient gets theirs from kubbi-mcp identity."`
	Metadata      args.Object `json:"metadata,omitzero" jsonschema:"A JSON object as text, at most 1 KB, readable without claiming: no secrets."`
	Handle        bool        `json:"handle,omitzero" jsonschema:"true: the claim URL stays here, and you get only an id, which claim, inspect and kubbi-mcp run take."`
}

// sentOutput is what the results of send and send_files share.
type sentOutput struct {
	ID            string         `json:"id" jsonschema:"For get and delete."`
	ClaimURL      string         `json:"claim_url,omitzero" jsonschema:"Give it to the recipient."`
	Handle        string         `json:"handle,omitzero" jsonschema:"In place of claim_url: how to use the id."`
	Status        api.Status     `json:"status"`
	MaxRetrievals *int           `json:"max_retrievals"`
	SealedFor     []string       `json:"sealed_for,omitzero" jsonschema:"Fingerprints of to, for people to compare."`
	Metadata      jsontext.Value `json:"metadata" jsonschema:"The note of its sender."`
	CreatedAt     api.Time       `json:"created_at"`
	ExpiresAt     api.Time       `json:"expires_at"`
	Reach         string         `json:"reach,omitzero" jsonschema:"From where it can be used."`
}

type sendOutput struct {
	sentOutput
	ContentType string   `json:"content_type"`
	Path        string   `json:"path,omitzero"`
	SizeBytes   *int64   `json:"size_bytes,omitzero"`
	SHA256      string   `json:"sha256,omitzero"`
	Notes       []string `json:"notes,omitzero" jsonschema:"What was changed on the way, and why."`
}

func (t *toolset) send() definition {
	return define(t, "send", "Send content", sendDescription,
		hints{readOnly: false, destructive: false, idempotent: false, openWorld: true},
		func(ctx context.Context, inv invocation, in sendInput) (*mcp.CallToolResult, error) {
			params := kubbi.SendParams{
				TTL:           t.ttl(in.TTLSeconds),
				MaxRetrievals: int(in.MaxRetrievals),
				Metadata:      in.Metadata.OrNil(),
				Sealed:        t.sealed(in.Sealed),
				Progress:      progressOf(ctx),
			}
			var err error
			if params.To, err = recipientsOf(in.To); err != nil {
				return nil, err
			}
			v := in.Content.Value
			elsewhere := in.Path + in.Env
			if isNull := v.Kind() == 'n'; isNull || elsewhere != "" && string(v) == `""` {
				in.Content.Value = nil // some hosts fill in absent arguments
				if isNull && elsewhere == "" {
					return nil, args.Error(`Give one of content, path and env: null stands for no content. JSON's null is sent as the text "null" with content_type application/json.`)
				}
			}
			var local *localFile
			switch {
			case in.Path != "" && in.Env != "" || (elsewhere == "") == (in.Content.Value == nil):
				err = args.Error("Give one of content, path and env.")
			case in.Env != "":
				err = t.contentOfVariable(in, &params)
			case in.Path != "":
				local, err = contentOf(inv.rules, in, &params)
			default:
				params.Content, params.ContentType, err = payload(in.Content.Value, in.ContentType)
			}
			keep := in.keepsHandle() || in.Env != "" && t.opensHere(ctx, params.To)
			if err == nil && keep {
				err = t.handleFault()
			}
			if err != nil {
				return nil, err
			}
			sent, err := t.Client.Send(ctx, params)
			if err != nil {
				return nil, err
			}
			out := sendOutput{sentOutput: t.sentOf(sent, params.To), ContentType: sent.ContentType}
			if keep {
				if err := t.keepHandle(ctx, inv, &out.sentOutput, in.Env); err != nil {
					return nil, err
				}
			}
			if local != nil {
				out.Path, out.SizeBytes, out.SHA256 = local.Path, &local.size, local.checksum()
				out.Notes = local.notes
			}
			return structured(out)
		})
}

// sentOf describes a kubbi that was sent.
func (t *toolset) sentOf(sent *kubbi.Sent, to []kubbi.Recipient) sentOutput {
	return sentOutput{
		ID:            sent.ID,
		ClaimURL:      sent.ClaimURL,
		Status:        sent.Status,
		MaxRetrievals: sent.MaxRetrievals,
		SealedFor:     fingerprints(to),
		Metadata:      orNull(sent.Metadata),
		CreatedAt:     sent.CreatedAt,
		ExpiresAt:     sent.ExpiresAt,
		Reach:         t.Reach(),
	}
}

// payload gives what is sent, and its type: the content itself, the JSON that a string holds,
// or a string that holds the JSON of a value.
func payload(content jsontext.Value, contentType string) (jsontext.Value, string, error) {
	isString := content.Kind() == '"'
	switch {
	case contentType == "" && isString:
		return content, api.TypeText, nil
	case contentType == "":
		return content, api.TypeJSON, nil
	case contentType == api.TypeJSON && isString:
		text, err := jsontext.AppendUnquote(nil, content)
		if err != nil || !jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true)) {
			return nil, "", args.Error("content is a string given as application/json, but it does not hold valid JSON. " +
				"Pass the JSON value itself, or leave content_type out to send the string as text.")
		}
		return text, contentType, nil
	case contentType != api.TypeJSON && !isString:
		// A host has parsed what a model wrote as text.
		return appendString(nil, string(content)), contentType, nil
	default:
		return content, contentType, nil
	}
}

// sealed says whether to seal: as the call says, or as configured.
func (t *toolset) sealed(asked *bool) bool {
	if asked == nil {
		return t.Sealed
	}
	return *asked
}

// ttl is how long a new kubbi lives: as the call says, or as configured.
func (t *toolset) ttl(seconds args.Int) time.Duration {
	if seconds == 0 {
		return t.DefaultTTL
	}
	return time.Duration(seconds) * time.Second
}
