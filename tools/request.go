package tools

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/internal/untrusted"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/args"
)

const requestDescription = `Ask your user, or whoever gets the request_url from you, for a password, key, other value or file. They enter it on that page, sealed for this machine: neither the relay nor you see it. ` +
	`Use it whenever you need a secret; never ask for one in a message. get says when it is answered, and kubbi-mcp run --env-from REQUEST_ID -- COMMAND uses it unseen.`

type requestInput struct {
	Message    string       `json:"message" jsonschema:"What is wanted and why. The relay can read it."`
	Fields     []fieldInput `json:"fields,omitzero" jsonschema:"What to ask for, unless files is true."`
	Files      bool         `json:"files,omitzero" jsonschema:"true: ask for files."`
	TTLSeconds args.Int     `json:"ttl_seconds,omitzero" jsonschema:"Its answer lives as long again. Default 3600, unless configured otherwise."`
	Notify     string       `json:"notify,omitzero" jsonschema:"An https URL to which a team's relay posts a signed receipt of the end."`
}

type fieldInput struct {
	Name   string `json:"name" jsonschema:"As of a variable: STRIPE_KEY."`
	Secret *bool  `json:"secret,omitzero" jsonschema:"Default true. false: claim shows it to you."`
	Lines  bool   `json:"lines,omitzero" jsonschema:"It may have several lines."`
}

type requestOutput struct {
	RequestID   string            `json:"request_id" jsonschema:"For get, claim, delete and kubbi-mcp run."`
	RequestURL  string            `json:"request_url" jsonschema:"The page to answer on."`
	Fingerprint string            `json:"fingerprint" jsonschema:"The page shows the same."`
	Status      api.RequestStatus `json:"status"`
	ExpiresAt   api.Time          `json:"expires_at"`
	Reach       string            `json:"reach,omitzero" jsonschema:"From where."`
	Next        string            `json:"next" jsonschema:"What to do."`
}

// Page is the page on which a person answers a request. A host shows it to its user.
type Page struct {
	RequestID string
	URL       string
	Message   string // for the user, before they open the page
}

// PageAnswer is what became of a page that a host was to show.
type PageAnswer int

// The answers.
const (
	PageNotOffered PageAnswer = iota // the host can't show a page
	PageAccepted                     // its user agrees to open it
	PageDeclined                     // its user does not want to, or the host declines by itself
	PageUnanswered                   // its user has not said yet
)

func (t *toolset) request() definition {
	return define(t, "request", "Ask for a secret or file", requestDescription,
		hints{readOnly: false, destructive: false, idempotent: false, openWorld: true},
		func(ctx context.Context, inv invocation, in requestInput) (*mcp.CallToolResult, error) {
			params, err := in.params()
			if err != nil {
				return nil, err
			}
			params.TTL = t.ttl(in.TTLSeconds)
			out, asked := readAsked(inv.round)
			if !asked {
				if out, err = t.ask(ctx, params); err != nil {
					return nil, err
				}
			}
			answer, question, err := t.ShowPage(ctx, inv.round, Page{RequestID: out.RequestID, URL: out.RequestURL, Message: pageMessage(params, out.Fingerprint)})
			if err != nil { // the call was cancelled
				if err := t.withdraw(ctx, out.RequestID); err != nil {
					t.Logger.Warn("the request of a call that was cancelled is still open", "error", err)
				}
				return nil, err
			}
			if question != nil {
				question.RequestState = out.state()
				return question, nil
			}
			if answer != PageNotOffered { // time has passed, and the client says which request it is
				now, err := t.Client.Asked(ctx, out.RequestID)
				if err != nil {
					return nil, err
				}
				out.Status = now.Status
			}
			out.Next = t.nextStep(params, out, answer)
			return structured(out)
		})
}

// params reads the arguments.
func (in requestInput) params() (kubbi.AskParams, error) {
	p := kubbi.AskParams{Message: in.Message, Files: in.Files}
	if (len(in.Fields) == 0) != in.Files {
		return p, args.Error("Give either fields, the names of what to ask for, or files: true.")
	}
	for _, f := range in.Fields {
		names := strings.FieldsFunc(f.Name, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
		for _, name := range names { // a list in one text
			p.Fields = append(p.Fields, api.Field{Name: name, Secret: f.Secret == nil || *f.Secret, Lines: f.Lines})
		}
	}
	if in.Notify != "" {
		p.Notify = &kubbi.Notify{URL: in.Notify}
	}
	return p, nil
}

// ask makes the request and keeps its claim URL on this machine.
func (t *toolset) ask(ctx context.Context, p kubbi.AskParams) (requestOutput, error) {
	store := t.Claims.Handles()
	if store == nil {
		return requestOutput{}, args.Error("request needs a data directory, which this server does not have.")
	}
	asked, err := Ask(ctx, t.Client, store, p)
	if errors.Is(err, errAnswerNotKept) {
		t.Logger.Error("keep the claim URL of a request", "error", err)
		return requestOutput{}, errNotKept
	}
	if err != nil {
		return requestOutput{}, err
	}
	return requestOutput{
		RequestID:   asked.ID,
		RequestURL:  asked.RequestURL,
		Fingerprint: asked.Fingerprint,
		Status:      api.RequestPending,
		ExpiresAt:   asked.ExpiresAt,
		Reach:       t.Reach(),
	}, nil
}

// Ask makes a request and keeps the claim URL of its answer in store, under the request's id.
// If it can't be kept, the request is withdrawn.
func Ask(ctx context.Context, client *kubbi.Client, store *handles.Store, p kubbi.AskParams) (*kubbi.Request, error) {
	asked, err := client.Ask(ctx, p)
	if err != nil {
		return nil, err
	}
	err = store.Put(ctx, handles.Handle{
		ID: asked.ID, Kind: handles.Request, ClaimURL: asked.ClaimURL, AnswerID: asked.AnswerID,
		Message: p.Message, Fields: p.Fields, Files: p.Files,
		ExpiresAt: asked.ExpiresAt.Add(cmp.Or(p.TTL, kubbi.DefaultTTL)), // an answer at the last moment lives as long again
	})
	if err != nil {
		return nil, errors.Join(errAnswerNotKept, err, withdraw(ctx, client, asked.ID))
	}
	return asked, nil
}

var errAnswerNotKept = errors.New("the claim URL of its answer could not be kept")

// withdrawTime is how long a delete or a withdrawal may take whose call has ended.
const withdrawTime = 5 * time.Second

// withdraw ends a request that nobody needs any more, even if ctx has ended.
func withdraw(ctx context.Context, client *kubbi.Client, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	if _, err := client.Withdraw(ctx, id); err != nil {
		return fmt.Errorf("withdraw the request: %w", err)
	}
	return nil
}

// withdraw ends a request of this machine. If it was answered meanwhile, it keeps the claim URL
// of the answer.
func (t *toolset) withdraw(ctx context.Context, id string) error {
	err := withdraw(ctx, t.Client, id)
	if errors.Is(err, kubbi.ErrConflict) {
		return nil
	}
	if err == nil {
		t.forgetHandle(ctx, id)
	}
	return err
}

// pageMessage is what a host shows its user before they open the page.
func pageMessage(p kubbi.AskParams, fingerprint string) string {
	what := "a file"
	if !p.Files {
		what = strings.Join(fieldNames(p.Fields), ", ")
	}
	return fmt.Sprintf("An agent asks for %s. Its reason: %s\n\nEnter it on this page, not in the chat. The page must show the fingerprint %s.",
		what, untrusted.Line(p.Message, api.MaxRequestMessage), fingerprint)
}

// nextStep says what the model does now.
func (t *toolset) nextStep(p kubbi.AskParams, out requestOutput, answer PageAnswer) string {
	use := t.useAnswer(handles.Handle{ID: out.RequestID, Fields: p.Fields, Files: p.Files})
	var show string
	switch {
	case out.Status == api.RequestAnswered:
		return "It is answered. " + use
	case out.Status != api.RequestPending:
		return fmt.Sprintf("It has ended without an answer. Call %srequest to ask again.", t.Prefix)
	case answer == PageAccepted:
		show = "Your user was shown the page and has agreed to open it."
	case answer == PageUnanswered:
		show = "Your user was asked to open the page and has not said yet. Show them request_url as well, with the fingerprint."
	case answer == PageDeclined:
		// Claude Code and Codex decline by themselves where nobody sits at the terminal.
		show = fmt.Sprintf("Your user, or the host by itself, did not open the page. If your user does not want to answer, call %sdelete with this id. Otherwise show them request_url, with the fingerprint.", t.Prefix)
	default:
		show = "Show request_url to whoever is to answer, with the fingerprint, which the page shows as well. They open it, or run kubbi-mcp answer; never take the value in the chat."
	}
	return fmt.Sprintf("%s Call %sget with id %s and wait_seconds 50, again until the status is answered. Then: %s", show, t.Prefix, out.RequestID, use)
}

// state is the requestState of an answer that asks the host: what is known of the request.
// The client sends it when it makes the call again. It holds nothing that the client may
// not know, and the relay checks whose request it is.
func (o requestOutput) state() string {
	b, _ := jsonv2.Marshal(o) // it has strings and a time
	return base64.RawURLEncoding.EncodeToString(b)
}

// readAsked gives the request that an earlier round of the call has made.
func readAsked(round mcp.MultiRoundTripParams) (out requestOutput, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(round.RequestState)
	if err != nil || len(b) == 0 || jsonv2.Unmarshal(b, &out) != nil {
		return requestOutput{}, false
	}
	return out, out.RequestID != ""
}
