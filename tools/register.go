// Package tools holds the MCP tools: one file each with its input struct, its output struct
// and its handler. Register is the only list of them.
//
// A tool calls the Kubbi client and reads or writes the files that a call names, and does
// nothing else. It does not know whether the client talks to the hosted service or to a relay
// in this process. An error is a result with isError that a model can act on. No result, error
// or log line holds a key, and only a result of send or send_files holds a claim URL, and
// with handle: true not even that.
//
// Its parts: args reads arguments, files holds the paths that a call may use, consent
// remembers what a user has allowed, and claims claims without losing a payload.
package tools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/args"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

// Config is what the tools need. Client must be set.
type Config struct {
	Client     *kubbi.Client
	DefaultTTL time.Duration // of a kubbi sent without ttl_seconds; 0: one hour
	Sealed     bool          // seal what is sent, unless the call says otherwise
	Prefix     string        // of every tool's name, such as kubbi_
	Logger     *slog.Logger  // nil: silent

	// Files says which files may be sent by path, and where claimed ones may be saved.
	// Folders adds the folders that the caller's host offers or its user allows for a call;
	// only calls with a path ask it. nil: none.
	Files   files.Rules
	Folders func(context.Context, mcp.CallToolRequest, Need) (Grant, error)

	// Variables are those of this process's environment that may be sent.
	Variables Variables

	// MayCopy reports whether the claim URL of a handle may be put on the user's clipboard. If
	// the user must be asked by the answer to the call, it gives that answer. nil: it may not.
	MayCopy func(context.Context, mcp.CallToolRequest) (allowed bool, ask *mcp.CallToolResult, err error)

	// PublicKey gives the public key for which others can seal what they send to this machine,
	// "" if there is none. nil: there is none.
	PublicKey func(context.Context) string

	// MaxInline is the largest answer to a claim, in bytes as the client gets them;
	// 0: DefaultMaxInline.
	MaxInline int64
	// Claims makes the claims; nil: a claimer in memory, and then nothing can be saved.
	Claims *claims.Claimer
	// Received says that the caller is on this machine, and can read the claimer's folder
	// for received payloads.
	Received bool

	// ShowPage asks the host of the call in ctx to show its user a page. If the client must
	// be asked in the answer to the call, it gives that answer, and gets the client's with
	// the next round. nil: no host can show one.
	ShowPage func(ctx context.Context, round mcp.MultiRoundTripParams, p Page) (PageAnswer, *mcp.CallToolResult, error)

	// RunCommand is how a shell on this machine runs a command with an id; "": kubbi-mcp run.
	RunCommand string

	// Reach says from where a new claim URL can be used; nil: unknown.
	Reach func() string

	// Waits is called before a call waits with wait_seconds. Its error says that too many
	// calls wait. nil: any number may.
	Waits func(context.Context) error

	// Observe is called with every call that has ended; nil: it is not called.
	Observe func(context.Context, Call)

	// Deliver gets a function, and calls it exactly once, when it is known whether the
	// answer to the call in ctx was written to the client. nil: every answer counts as
	// written at once.
	Deliver func(ctx context.Context, then func(written bool))
	// Peer says who has made the call in ctx; nil: unknown.
	Peer func(context.Context) Peer
}

// Peer is the client that has made a call.
type Peer struct {
	Session string    // "": its calls can't be told from those of others
	Sent    time.Time // when its message came in
}

// DefaultMaxInline is the largest answer to a claim, in bytes, unless it is
// configured otherwise. Hosts cut results above 50,000 characters or 25,000 tokens.
const DefaultMaxInline = 32 << 10

// Register adds every tool to the server.
func Register(s *mcpserver.MCPServer, cfg Config) error {
	if cfg.Client == nil {
		return errors.New("register tools: no client")
	}
	if !IsPrefix(cfg.Prefix) {
		return fmt.Errorf("register tools: prefix %q: only letters, digits, underscore and hyphen, at most 32", cfg.Prefix)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Reach == nil {
		cfg.Reach = func() string { return "" }
	}
	if cfg.PublicKey == nil {
		cfg.PublicKey = func(context.Context) string { return "" }
	}
	if cfg.Waits == nil {
		cfg.Waits = func(context.Context) error { return nil }
	}
	if cfg.Observe == nil {
		cfg.Observe = func(context.Context, Call) {}
	}
	if cfg.Deliver == nil {
		cfg.Deliver = func(_ context.Context, then func(bool)) { then(true) }
	}
	if cfg.ShowPage == nil {
		cfg.ShowPage = func(context.Context, mcp.MultiRoundTripParams, Page) (PageAnswer, *mcp.CallToolResult, error) {
			return PageNotOffered, nil, nil
		}
	}
	if cfg.Peer == nil {
		cfg.Peer = func(context.Context) Peer { return Peer{} }
	}
	cfg.RunCommand = cmp.Or(cfg.RunCommand, "kubbi-mcp run")
	if cfg.MaxInline == 0 {
		cfg.MaxInline = DefaultMaxInline
	}
	if cfg.Claims == nil {
		cfg.Claims = claims.New(cfg.Client, nil, "", cfg.Logger)
	}
	cfg.Received = cfg.Received && cfg.Claims.OnDisk()
	t := &toolset{cfg}
	for _, d := range []definition{
		t.send(), t.sendFiles(), t.inspect(), t.claim(), t.request(), t.get(), t.list(), t.delete(),
	} {
		if d.err != nil {
			return fmt.Errorf("register tools: %w", d.err)
		}
		s.AddTool(d.tool, d.handle)
	}
	return nil
}

var prefixRule = regexp.MustCompile(`^[A-Za-z0-9_-]{0,32}$`)

// IsPrefix reports whether the names of the tools can have this prefix.
func IsPrefix(prefix string) bool { return prefixRule.MatchString(prefix) }

// toolset is what the handlers share.
type toolset struct{ Config }

// definition is one tool, ready to be added.
type definition struct {
	tool   mcp.Tool
	handle mcpserver.ToolHandlerFunc
	err    error
}

// hints are a tool's annotations. Each is a deliberate choice: the protocol's
// defaults are never relied on.
type hints struct{ readOnly, destructive, idempotent, openWorld bool }

// define makes a tool from its parts. The handler gets decoded arguments that match the input
// schema. Its error becomes a result with isError.
func define[In any](t *toolset, name, title, description string, h hints,
	handle func(context.Context, invocation, In) (*mcp.CallToolResult, error)) definition {
	schema, err := args.Load(name)
	if err != nil {
		return definition{err: err}
	}
	tool := mcp.Tool{
		Name:           t.Prefix + name,
		Title:          title,
		Description:    description,
		RawInputSchema: schema.Input.JSON,
		Annotations: mcp.ToolAnnotation{
			Title:           title,
			ReadOnlyHint:    &h.readOnly,
			DestructiveHint: &h.destructive,
			IdempotentHint:  &h.idempotent,
			OpenWorldHint:   &h.openWorld,
		},
	}
	if schema.Output != nil {
		tool.RawOutputSchema = schema.Output.JSON
	}
	run := func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if name != "claim" && name != "inspect" { // a client that has not read a claim's answer may call these
			peer := t.Peer(ctx)
			t.Claims.ClientActive(peer.Session, peer.Sent)
		}
		var in In
		if err := schema.Input.Read(req, &in); err != nil {
			return nil, err
		}
		if w, ok := any(in).(mayWait); ok && w.waits() && t.Waits(ctx) != nil {
			return nil, args.Error("Too many calls wait already. Leave wait_seconds out, or wait for one of them to end.")
		}
		inv, ask, err := t.begin(ctx, req, in)
		if err != nil || ask != nil {
			return ask, err
		}
		return handle(ctx, inv, in)
	}
	return definition{tool: tool, handle: func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		start := time.Now()
		seen := Call{Tool: name, Outcome: OutcomeInternal} // stays after a panic
		defer func() {
			seen.Took = time.Since(start)
			t.Observe(ctx, seen)
		}()
		res, err := run(ctx, req)
		if err != nil {
			res = mcp.NewToolResultError(ErrorText(name, err))
		} else if res.NeedsInput() {
			seen.Outcome = OutcomeAsked
			return res, nil
		} else if schema.Output == nil {
			// The result is content alone.
		} else if bad := schema.Output.Check(jsontext.Value(res.RawStructuredContent)); bad != nil {
			// A fault of ours, or an odd answer of the service. The result is returned
			// anyway: it may be the only copy of a payload.
			t.Logger.Error("result does not match its output schema", "tool", name)
		}
		seen.Outcome, seen.AnswerBytes = outcome(err), contentSize(res)
		return res, nil
	}}
}
