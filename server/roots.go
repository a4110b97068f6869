package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/tools/files"
)

// Bounds of what a client offers.
const (
	maxRoots     = 100
	rootsTimeout = 10 * time.Second // to say what
)

// roots gives the folders that the client of the call in ctx offers as MCP roots.
// Only one over stdio can: that of an HTTP client are on another machine, as far
// as we know, and since 2026-07-28 a server asks its client for nothing.
func (s *Server) roots(ctx context.Context) []files.Folder {
	session, ok := mcpserver.ClientSessionFromContext(ctx).(*stdioSession)
	if !ok || mcpserver.IsModernRequest(ctx) || session.GetClientCapabilities().Roots == nil {
		return nil
	}
	session.roots.Lock()
	defer session.roots.Unlock() // one asks, the others wait for what it hears
	changes := session.rootsChanged.Load()
	if session.rootsKnown && session.rootsAsOf == changes {
		return session.folders
	}
	ctx, cancel := context.WithTimeout(ctx, rootsTimeout)
	defer cancel()
	folders, err := s.listRoots(ctx, session)
	if err != nil {
		s.log.Warn("the client's roots are not known", "error", err)
		return nil
	}
	session.folders, session.rootsKnown, session.rootsAsOf = folders, true, changes
	return folders
}

func (s *Server) listRoots(ctx context.Context, session *stdioSession) ([]files.Folder, error) {
	answer, err := session.request(ctx, mcp.MethodListRoots)
	if err != nil {
		return nil, err
	}
	var list mcp.ListRootsResult
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, errors.New("the answer can't be read")
	}
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

// request asks the client, and gives the result of its answer.
func (s *stdioSession) request(ctx context.Context, method mcp.MCPMethod) (json.RawMessage, error) {
	id := "kubbi-" + strconv.FormatInt(s.requests.Add(1), 10)
	answer := make(chan []byte, 1)
	s.mu.Lock()
	if s.waiting == nil {
		s.waiting = make(map[string]chan []byte)
	}
	s.waiting[id] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, id)
	}()
	line, err := json.Marshal(map[string]any{"jsonrpc": mcp.JSONRPC_VERSION, "id": id, "method": method})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	s.write(ctx, append(line, '\n'))
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", method, ctx.Err())
	case b := <-answer:
		var res struct {
			Result json.RawMessage
			Error  *mcp.JSONRPCErrorDetails
		}
		if err := json.Unmarshal(b, &res); err != nil {
			return nil, fmt.Errorf("%s: the answer can't be read", method)
		}
		if res.Error != nil {
			return nil, fmt.Errorf("%s: the client answers with error %d", method, res.Error.Code)
		}
		return res.Result, nil
	}
}

// answered takes a client's answer. It reports whether it is one to a request of
// ours.
func (s *stdioSession) answered(m *message) bool {
	if m.id.Kind() != '"' {
		return false
	}
	id := unquote(m.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.waiting[id]
	if waiting == nil {
		return false
	}
	delete(s.waiting, id)
	waiting <- m.line
	return true
}
