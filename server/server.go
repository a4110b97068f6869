// Package server is the MCP server: its capabilities and instructions, prompts,
// resources, tasks and folders, and who may call it over HTTP. Package tools has the
// tools, package transport carries the messages.
//
// A Server acts for one caller. ServeStdio serves it to the host that started the
// process; HTTP makes one for each caller.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"golang.org/x/sync/semaphore"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/consent"
	"kubbi-mcp/tools/files"
)

// DefaultMaxMessageBytes is the longest message that ServeStdio reads: a package of
// 50 MiB in base64, and the message around it. A larger package is sent by path.
const DefaultMaxMessageBytes = transport.DefaultMaxMessageBytes

// Config is what a Server needs. Client must be set.
type Config struct {
	Client          *kubbi.Client
	Version         string                       // shown to the host; "": dev
	DefaultTTL      time.Duration                // of a kubbi sent without ttl_seconds; 0: one hour
	Sealed          bool                         // seal what is sent, unless the call says otherwise
	ToolPrefix      string                       // before the name of every tool, as kubbi_
	MaxMessageBytes int                          // of one stdio message; 0: DefaultMaxMessageBytes
	PollEvery       time.Duration                // between polls of kubbis with subscribers; 0: one second
	Logger          *slog.Logger                 // nil: silent
	Files           files.Rules                  // what may be sent and saved by path; the zero value: nothing
	PublicKey       func(context.Context) string // this machine's, for the list tool and the handoff prompt; nil: none
	Variables       tools.Variables              // what may be sent of this process's environment; the zero value: nothing
	Consents        *consent.Store               // the other folders that the user has allowed; nil: the user is not asked
	Project         string                       // the folder that a stdio host works in; consents of the user count for it
	MaxInline       int64                        // the largest answer to a claim, in bytes; 0: tools.DefaultMaxInline
	State           *claims.State                // keeps claims under way on disk; nil: in memory
	Received        bool                         // clients are on this machine, so a claim may save into State's folder
	Reach           func() string                // says from where a claim URL can be used; nil: unknown
	RunCommand      string                       // how a shell on the client's machine runs a command with an id; "": kubbi-mcp run
	TaskAfter       time.Duration                // after which a call becomes a task, if the client knows tasks; 0: five seconds

	Caller  string                           // for logs; "": the process's own user
	Metrics *Metrics                         // nil: none
	Add     func(*mcpserver.MCPServer) error // adds other tools, such as the fixtures of a conformance suite

	taskMemory *semaphore.Weighted // of the tasks of all callers; nil: this Server has its own
}

// Server is the MCP server. One can serve any number of transports.
type Server struct {
	cfg     Config
	mcp     *mcpserver.MCPServer
	watcher *watcher
	claimer *claims.Claimer
	tasks   *taskStore
	ours    map[string]*mcpserver.ServerTool // tools, without those that Config.Add has added

	askTimeout time.Duration  // for a user who is asked to open a page
	eofGrace   time.Duration  // for calls that run when stdin ends; 0: transport's default
	shownPages chan struct{}  // has room for maxShownPages
	waiting    sync.WaitGroup // for requests whose page is shown
}

// New makes a server with all tools and prompts. It opens no file and no connection.
func New(cfg Config) (*Server, error) {
	if cfg.MaxMessageBytes < 0 {
		return nil, errors.New("new server: MaxMessageBytes is negative")
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	cfg.Version = cmp.Or(cfg.Version, "dev")
	cfg.MaxMessageBytes = cmp.Or(cfg.MaxMessageBytes, DefaultMaxMessageBytes)
	cfg.PollEvery = cmp.Or(cfg.PollEvery, time.Second)
	cfg.TaskAfter = cmp.Or(cfg.TaskAfter, defaultTaskAfter)
	log := cfg.Logger
	if cfg.Caller != "" {
		log = log.With("caller", cfg.Caller)
	}
	s := &Server{
		cfg:        cfg,
		watcher:    newWatcher(cfg.Client, cfg.PollEvery, log),
		claimer:    claims.New(cfg.Client, cfg.State, cfg.Caller, cfg.Logger),
		tasks:      newTaskStore(cfg.taskMemory, cfg.MaxInline),
		askTimeout: consentTimeout,
		shownPages: make(chan struct{}, maxShownPages),
	}
	hooks := &mcpserver.Hooks{}
	s.addLogHooks(hooks)
	s.mcp = s.newMCPServer(hooks)
	s.mcp.AddNotificationHandler(mcp.MethodNotificationRootsListChanged, rootsChanged)
	addPrompts(s.mcp, cfg.ToolPrefix, cfg.PublicKey)
	s.addResources(hooks)
	if err := s.addTools(hooks); err != nil {
		return nil, fmt.Errorf("new server: %w", err)
	}
	return s, nil
}

// addTools adds our tools, and what Config.Add adds.
func (s *Server) addTools(hooks *mcpserver.Hooks) error {
	hooks.AddBeforeCallTool(putArgumentsBack)
	err := tools.Register(s.mcp, tools.Config{
		Client:     s.cfg.Client,
		DefaultTTL: s.cfg.DefaultTTL,
		Sealed:     s.cfg.Sealed,
		Prefix:     s.cfg.ToolPrefix,
		Logger:     s.cfg.Logger,
		Files:      s.cfg.Files,
		Folders:    s.grantFolders,
		Variables:  s.cfg.Variables,
		MayCopy:    s.mayCopy,
		PublicKey:  s.cfg.PublicKey,
		MaxInline:  s.cfg.MaxInline,
		Reach:      s.cfg.Reach,
		RunCommand: s.cfg.RunCommand,
		Received:   s.cfg.Received,
		Claims:     s.claimer,
		ShowPage:   s.showPage,
		Deliver:    onWritten,
		Peer:       peerOf,
		Waits:      waits,
		Observe:    s.toolCalled,
	})
	s.ours = s.mcp.ListTools()
	if err != nil || s.cfg.Add == nil {
		return err
	}
	return s.cfg.Add(s.mcp)
}

// ServeStdio serves MCP on a pair of streams until stdin ends or ctx does, as
// transport.ServeStdio describes. When stdin ends, running calls get five seconds to
// answer.
func (s *Server) ServeStdio(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	return transport.ServeStdio(ctx, transport.StdioConfig{
		Config:     s.transportConfig(),
		MaxMessage: s.cfg.MaxMessageBytes,
		EOFGrace:   s.eofGrace,
	}, stdin, stdout)
}

func (s *Server) transportConfig() transport.Config {
	return transport.Config{MCP: s.mcp, Handler: handler{s}, Log: s.cfg.Logger}
}

// Close ends tasks and subscriptions, and releases the keys of claims. The server's
// transports must have ended.
func (s *Server) Close() {
	s.tasks.close()
	s.watcher.close()
	s.claimer.Close()
	s.waiting.Wait()
}

// recovery turns a panic in a tool into an error without details. mcp-go's own
// WithRecovery would send the details to the client.
func (s *Server) recovery(next mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (res *mcp.CallToolResult, err error) {
		defer func() {
			if r := recover(); r != nil {
				transport.LogPanic(s.cfg.Logger, "tools/call", r)
				res, err = nil, transport.ErrInternal
			}
		}()
		return next(ctx, req)
	}
}
