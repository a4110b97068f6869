package tools

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/tools/consent"
	"kubbi-mcp/tools/files"
)

// Need is what a call needs of this machine's files.
type Need struct {
	Tool   string // without the prefix
	Access consent.Access
	Paths  []string // as they were given
}

// Grant says what a call may have.
type Grant struct {
	Folders []files.Folder // beside those of Config.Files
	// Ask is the call's answer if the host or the user has to be asked first, in
	// the protocol versions in which a server asks by answering; nil: it runs.
	Ask *mcp.CallToolResult
}

// needing is an input with paths in it.
type needing interface{ need() Need }

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

// granted gives a context with the folders that a call may use beside those of the
// configuration, or the result that asks for them. Only a call with a path asks.
func (t *toolset) granted(ctx context.Context, req mcp.CallToolRequest, in any) (context.Context, *mcp.CallToolResult, error) {
	n, ok := in.(needing)
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

// rules are what the caller may touch: the folders of the configuration, and
// those that were granted to the call in ctx.
func (t *toolset) rules(ctx context.Context) files.Rules {
	more, _ := ctx.Value(foldersKey{}).([]files.Folder)
	return t.Files.With(more...)
}
