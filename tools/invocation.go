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

// invocation is a call under way: what it may use, and what the client has answered before.
type invocation struct {
	rules   files.Rules              // which files it may read and write
	mayCopy bool                     // the claim URL that is kept may be put on the clipboard
	round   mcp.MultiRoundTripParams // what the client has answered to an earlier round
}

// begin finds out what a call may use, or gives the result that asks for it. Only a call with
// a path, or whose claim URL is kept, asks.
func (t *toolset) begin(ctx context.Context, req mcp.CallToolRequest, in any) (inv invocation, ask *mcp.CallToolResult, err error) {
	inv = invocation{rules: t.Files, round: req.Params.MultiRoundTripParams}
	if k, ok := in.(keepsHandle); ok && k.keepsHandle() && t.MayCopy != nil && t.handleFault() == nil {
		if inv.mayCopy, ask, err = t.MayCopy(ctx, req); err != nil || ask != nil {
			return inv, ask, err
		}
	}
	p, ok := in.(withPaths)
	if !ok || t.Folders == nil {
		return inv, nil, nil
	}
	need := p.need()
	if len(need.Paths) == 0 {
		return inv, nil, nil
	}
	g, err := t.Folders(ctx, req, need)
	inv.rules = t.Files.With(g.Folders...)
	return inv, g.Ask, err
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
