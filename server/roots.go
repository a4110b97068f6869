package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools/files"
)

const (
	maxRoots        = 100
	rootsTimeout    = 3 * time.Second  // for the client's answer
	rootsTTL        = 30 * time.Second // since 2026-07-28, where clients don't notify of changes
	maxRootsIgnored = 3                // requests in a row without an answer, since 2026-07-28
)

// rootsID names the request for the roots in an answer that asks the client.
const rootsID = "roots"

// roots are the folders that a session's client offers as MCP roots.
type roots struct {
	changes atomic.Int64 // notifications of changes so far

	mu      sync.Mutex // held by the call that asks the client, so that others wait for the answer
	folders []files.Folder
	known   bool
	asOf    int64                         // the value of changes when the client was asked
	answers <-chan transport.ClientAnswer // of the client that was asked; nil: it was not, or has answered
	overdue bool                          // the answer has not come in time

	// Since 2026-07-28:
	knownAt time.Time
	ignored int // requests since the last answer
}

// rootsChanged handles the client's notification that its roots have changed.
func rootsChanged(ctx context.Context, _ mcp.JSONRPCNotification) {
	if s := sessionOf(ctx); s != nil {
		s.roots.changes.Add(1)
	}
}

// offeredFolders gives the folders that the client of a stdio session offers as MCP
// roots. If ask is true, the answer to the call must ask the client for them.
func (s *Server) offeredFolders(ctx context.Context, session *session, can abilities, in mcp.MultiRoundTripParams) (folders []files.Folder, ask bool) {
	if !can.roots {
		return nil, false
	}
	r := &session.roots
	r.mu.Lock()
	defer r.mu.Unlock()
	if can.modern {
		return s.rootsByAnswer(r, in)
	}
	s.updateRoots(ctx, session)
	return r.folders, false
}

// updateRoots asks the client for its roots, unless they are known. A call that is cancelled
// leaves the answer to the next one.
func (s *Server) updateRoots(ctx context.Context, session *session) {
	r := &session.roots
	if changes := r.changes.Load(); r.asOf != changes {
		r.folders, r.known, r.asOf, r.answers, r.overdue = nil, false, changes, nil, false
	}
	if r.known {
		return
	}
	if r.answers == nil {
		r.answers = session.Request(mcp.MethodListRoots, nil)
	}
	if r.overdue { // calls don't wait for it twice
		select {
		case a := <-r.answers:
			s.setRoots(r, a)
		default:
		}
		return
	}
	timer := time.NewTimer(rootsTimeout)
	defer timer.Stop()
	select {
	case a := <-r.answers:
		s.setRoots(r, a)
	case <-ctx.Done():
	case <-timer.C:
		s.cfg.Logger.Warn("the client offers roots but does not list them in time; the call goes on without them", "waited", rootsTimeout)
		r.overdue = true
	}
}

// rootsByAnswer gives the roots that came with a call, or those of a moment ago. If
// ask is true, the answer to the call must ask the client for them.
func (s *Server) rootsByAnswer(r *roots, in mcp.MultiRoundTripParams) (folders []files.Folder, ask bool) {
	if list := mcpserver.RootsResponse(in.InputResponses, rootsID); list != nil {
		folders, err := s.rootFolders(*list)
		if err != nil {
			s.cfg.Logger.Warn("the client's roots are not known", "error", err)
		}
		r.folders, r.known, r.knownAt, r.ignored = folders, err == nil, time.Now(), 0
		return folders, false
	}
	if in.RequestState != "" || r.known && time.Since(r.knownAt) < rootsTTL {
		return r.folders, false // the client was asked for this call, or a moment ago
	}
	if r.ignored >= maxRootsIgnored {
		return nil, false
	}
	r.ignored++
	return nil, true
}

// setRoots reads the client's answer.
func (s *Server) setRoots(r *roots, a transport.ClientAnswer) {
	r.answers, r.overdue = nil, false
	var list mcp.ListRootsResult
	err := a.Err
	if err == nil {
		err = json.Unmarshal(a.Result, &list)
	}
	if err == nil {
		r.folders, err = s.rootFolders(list)
	}
	if err != nil {
		s.cfg.Logger.Warn("the client's roots are not known", "error", err)
	}
	r.known = err == nil
}

func (s *Server) rootFolders(list mcp.ListRootsResult) ([]files.Folder, error) {
	if len(list.Roots) > maxRoots {
		return nil, fmt.Errorf("more than %d roots", maxRoots)
	}
	var folders []files.Folder
	for _, root := range list.Roots {
		f, err := rootFolder(root.URI)
		if err != nil {
			s.cfg.Logger.Warn("a root of the client can't be used", "error", err)
			continue
		}
		folders = append(folders, f)
	}
	return folders, nil
}

// rootFolder opens the folder of a root. Windows also has paths to other machines, which
// are refused.
func rootFolder(uri string) (files.Folder, error) {
	path, err := files.PathFromURI(uri)
	if err != nil {
		return files.Folder{}, err
	}
	if strings.HasPrefix(path, `\\`) {
		return files.Folder{}, errors.New("it is no URI of a file on this machine")
	}
	return files.NewFolder(path)
}
