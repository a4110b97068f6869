package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools/files"
)

// Bounds of what a client offers.
const (
	maxRoots     = 100
	rootsTimeout = 3 * time.Second // to say what
)

// rootsID names the request for the roots among those of an answer that asks.
const rootsID = "roots"

// offered gives the folders that the client of a stdio session offers as MCP roots.
// Where the client is asked by answering, ask says that it must be.
func (s *Server) offered(ctx context.Context, session *session, c caps, in mcp.MultiRoundTripParams) (folders []files.Folder, ask bool) {
	if !c.roots {
		return nil, false
	}
	if c.modern {
		return s.offeredByAnswer(session, in)
	}
	session.roots.Lock()
	defer session.roots.Unlock() // one asks, the others wait for what it hears
	changes := session.rootsChanged.Load()
	late := session.rootsLate
	if late != nil && session.rootsAsOf == changes {
		select {
		case a := <-late:
			session.rootsLate = nil
			s.takeRoots(session, a, changes)
		default:
			return session.folders, false // it was given its time once
		}
	}
	if session.rootsKnown && session.rootsAsOf == changes {
		return session.folders, false
	}
	answers := session.Request(mcp.MethodListRoots, nil)
	timer := time.NewTimer(rootsTimeout)
	defer timer.Stop()
	select {
	case a := <-answers:
		if !s.takeRoots(session, a, changes) {
			return nil, false
		}
	case <-ctx.Done():
		return nil, false
	case <-timer.C:
		s.log.Warn("the client offers roots and does not say which; the call goes on without them", "waited", rootsTimeout)
		session.folders, session.rootsKnown = nil, false
		session.rootsLate, session.rootsAsOf = answers, changes
	}
	return session.folders, false
}

// takeRoots notes what the client has answered. It reports whether that says
// which roots there are.
func (s *Server) takeRoots(session *session, a transport.ClientAnswer, changes int64) bool {
	folders, err := s.readRoots(a)
	if err != nil {
		s.log.Warn("the client's roots are not known", "error", err)
		return false
	}
	session.folders, session.rootsKnown, session.rootsAsOf = folders, true, changes
	return true
}

// rootsFresh is for how long roots count that a client has told of in a protocol
// version in which it does not tell of changes.
const rootsFresh = 30 * time.Second

// offeredByAnswer is offered in the versions since 2026-07-28.
func (s *Server) offeredByAnswer(session *session, in mcp.MultiRoundTripParams) (folders []files.Folder, ask bool) {
	session.roots.Lock()
	defer session.roots.Unlock()
	if list := mcpserver.RootsResponse(in.InputResponses, rootsID); list != nil {
		folders, err := s.rootFolders(*list)
		if err != nil {
			s.log.Warn("the client's roots are not known", "error", err)
		}
		session.folders, session.rootsKnown, session.rootsHeard = folders, err == nil, time.Now()
		session.rootsUnheard = 0
		return session.folders, false
	}
	fresh := session.rootsKnown && time.Since(session.rootsHeard) < rootsFresh
	switch {
	case in.RequestState != "" || fresh: // it was asked for this call, or just before
		return session.folders, false
	case session.rootsUnheard >= maxUnheard:
		return nil, false
	}
	session.rootsUnheard++
	return nil, true
}

// maxUnheard is how often in a row a client is asked for its roots that does not
// say.
const maxUnheard = 3

func (s *Server) readRoots(a transport.ClientAnswer) ([]files.Folder, error) {
	if a.Err != nil {
		return nil, a.Err
	}
	var list mcp.ListRootsResult
	if err := json.Unmarshal(a.Result, &list); err != nil {
		return nil, fmt.Errorf("read roots: %w", err)
	}
	return s.rootFolders(list)
}

func (s *Server) rootFolders(list mcp.ListRootsResult) ([]files.Folder, error) {
	if len(list.Roots) > maxRoots {
		return nil, fmt.Errorf("more than %d roots", maxRoots)
	}
	var folders []files.Folder
	for _, root := range list.Roots {
		path, err := filePath(root.URI)
		if err == nil {
			var f files.Folder
			if f, err = files.NewFolder(path); err == nil {
				folders = append(folders, f)
			}
		}
		if err != nil {
			s.log.Warn("a root of the client's can't be used", "error", err)
		}
	}
	return folders, nil
}

// filePath gives the path that a file URI stands for.
func filePath(uri string) (string, error) {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Opaque != "":
		return "", errors.New("it is no file URI")
	case u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("it is no URI of a file on this machine")
	}
	path := u.Path
	if runtime.GOOS == "windows" {
		path = strings.TrimPrefix(path, "/")
	}
	return path, nil
}
