package tools

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/consent"
	"kubbi-mcp/tools/files"
)

// Need says which files of this machine a call needs.
type Need struct {
	Tool   string // without the prefix
	Access consent.Access
	Paths  []string // as they were given
}

// Grant says what a call may have.
type Grant struct {
	Folders []files.Folder // in addition to those of Config.Files
	// Ask is the call's answer if the host or the user must be asked first, in protocol
	// versions in which a server asks by its answer; nil: the call runs.
	Ask *mcp.CallToolResult
}

// withPaths is an input with paths in it.
type withPaths interface{ need() Need }

func (in sendInput) need() Need {
	return Need{Tool: "send", Access: consent.Read, Paths: onePath(in.Path)}
}

func (in sendFilesInput) need() Need {
	n := Need{Tool: "send_files", Access: consent.Read}
	for _, f := range in.Files {
		n.Paths = append(n.Paths, onePath(f.Path)...)
	}
	return n
}

func (in claimInput) need() Need {
	if in.SaveTo == saveReceived { // the server's own folder
		return Need{}
	}
	return Need{Tool: "claim", Access: consent.Write, Paths: onePath(in.SaveTo)}
}

func onePath(path string) []string {
	if path == "" {
		return nil
	}
	return []string{path}
}

// keepsHandle is an input of which the claim URL may be kept instead of being shown.
type keepsHandle interface{ keepsHandle() bool }

func (in sendInput) keepsHandle() bool      { return in.Handle || in.Env != "" && len(in.To) == 0 }
func (in sendFilesInput) keepsHandle() bool { return in.Handle }

// copyKey says in a context whether the claim URL may be put on the clipboard.
type copyKey struct{}

// granted gives a context with the additional folders that a call may use, or the result
// that asks for them. Only a call with a path asks.
func (t *toolset) granted(ctx context.Context, req mcp.CallToolRequest, in any) (context.Context, *mcp.CallToolResult, error) {
	if k, ok := in.(keepsHandle); ok && k.keepsHandle() && t.MayCopy != nil && t.handleFault() == nil {
		allowed, ask, err := t.MayCopy(ctx, req)
		if err != nil || ask != nil {
			return ctx, ask, err
		}
		ctx = context.WithValue(ctx, copyKey{}, allowed)
	}
	n, ok := in.(withPaths)
	if !ok || t.Folders == nil {
		return ctx, nil, nil
	}
	need := n.need()
	if len(need.Paths) == 0 {
		return ctx, nil, nil
	}
	g, err := t.Folders(ctx, req, need)
	if err != nil || g.Ask != nil {
		return ctx, g.Ask, err
	}
	return context.WithValue(ctx, foldersKey{}, g.Folders), nil, nil
}

type foldersKey struct{}

// rules say which files the call in ctx may touch: those in the folders of the
// configuration, and in those that were granted to the call.
func (t *toolset) rules(ctx context.Context) files.Rules {
	more, _ := ctx.Value(foldersKey{}).([]files.Folder)
	return t.Files.With(more...)
}

type roundTripKey struct{}

// withRoundTrip gives a context with what the client has answered to an earlier round of
// the call.
func withRoundTrip(ctx context.Context, req mcp.CallToolRequest) context.Context {
	if p := req.Params.MultiRoundTripParams; p.RequestState != "" || len(p.InputResponses) > 0 {
		return context.WithValue(ctx, roundTripKey{}, p)
	}
	return ctx
}

// roundTripOf gives what withRoundTrip has put into a context.
func roundTripOf(ctx context.Context) mcp.MultiRoundTripParams {
	p, _ := ctx.Value(roundTripKey{}).(mcp.MultiRoundTripParams)
	return p
}

type progressKey struct{}

// WithProgress gives a context for a call that reports its progress: report gets the bytes of
// the payload that were sent or received.
func WithProgress(ctx context.Context, report kubbi.Progress) context.Context {
	return context.WithValue(ctx, progressKey{}, report)
}

// progressOf gives what WithProgress has put into a context, or nil.
func progressOf(ctx context.Context) kubbi.Progress {
	report, _ := ctx.Value(progressKey{}).(kubbi.Progress)
	return report
}
