package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/internal/memory"
	"kubbi-mcp/server"
	"kubbi-mcp/tools"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

// serveCmd is `kubbi-mcp serve`.
type serveCmd struct {
	Transport transportName `variable:"KUBBI_MCP_TRANSPORT" placeholder:"TRANSPORT" default:"stdio" help:"stdio, for a host that starts this program itself, or http, for many agents (${default})."`
	httpFlags
}

// Run serves MCP, and the embedded relay on loopback: over stdio until stdin or the
// context ends, over HTTP until the context ends.
func (c *serveCmd) Run(a *app) error {
	// A host that stops reading stderr must not end the process in the middle of its
	// work: a write then fails like any other.
	signal.Ignore(syscall.SIGPIPE)
	if a.getenv("GOMEMLIMIT") == "" && c.Transport == "stdio" {
		memory.SetSoftLimit()
	}
	b, err := a.connect()
	if err != nil {
		return err
	}
	defer func() {
		if err := b.Close(); err != nil {
			a.log.Error("close", "error", err)
		}
	}()
	claims.NewState(b.dir).Sweep() // removes the leftovers of killed processes
	keptFolder(b.dir).Sweep()
	if err := handles.New(b.dir, "").Sweep(a.ctx); err != nil {
		a.log.Warn("some handles can't be read", "error", err)
	}
	serve := func(ctx context.Context) error { return a.serveStdio(ctx, b) }
	if c.Transport == "http" {
		if serve, err = c.prepare(a, b); err != nil {
			return err
		}
	}

	ctx, cancel := context.WithCancel(a.ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	if b.embedded {
		running.Go(func() { a.serveRelay(ctx, b) })
	}
	return serve(ctx)
}

// serverConfig is the configuration of every transport. It allows no folder.
func (a *app) serverConfig(dataDir string) server.Config {
	return server.Config{
		Version:    buildInfo().Version,
		DefaultTTL: a.cfg.DefaultTTL.duration(),
		Sealed:     a.cfg.Sealed,
		ToolPrefix: a.cfg.ToolPrefix,
		PollEvery:  a.pollEvery(),
		Logger:     a.log,
		Files:      files.Rules{Hidden: a.cfg.AllowHidden, Denied: []string{dataDir}},
		Variables:  tools.Variables{Allowed: a.cfg.AllowEnv, Lookup: os.LookupEnv},
		PublicKey:  a.publicKey(dataDir),
		MaxInline:  a.cfg.MaxInline,
		State:      claims.NewState(dataDir),
		Received:   true,
	}
}

func (a *app) serveStdio(ctx context.Context, b *backend) error {
	if isTerminal(a.stdin) {
		a.remark("kubbi-mcp serves MCP over stdio, which an MCP host starts; Ctrl-D ends it. To look around, try kubbi-mcp demo or --help.")
	}
	cfg := a.serverConfig(b.dir)
	if err := a.allowFolders(&cfg.Files, a.cfg.AllowDir); err != nil {
		return usagef("--allow-dir (KUBBI_ALLOW_DIRS): %w", err)
	}
	a.addProject(&cfg, b.dir)
	cfg.Client, cfg.Reach, cfg.RunCommand = b.client, b.reach, a.runCommand()
	srv, err := server.New(cfg)
	if err != nil {
		return err
	}
	defer srv.Close()
	a.log.Debug("serving MCP over stdio", "version", cfg.Version, "embedded", b.embedded)
	return srv.ServeStdio(ctx, a.stdin, a.stdout)
}

// serveRelay opens the embedded relay while the host initializes its session, and serves
// claim URLs to curl, browsers and other SDKs. If the store can't be opened, it logs this
// once; each call that needs the store tries again and returns the error to the model.
func (a *app) serveRelay(ctx context.Context, b *backend) {
	if err := b.relay.Open(ctx); err != nil && ctx.Err() == nil {
		a.log.Error("the embedded relay can't open its store; tools will answer with this error until that is mended", "error", err)
	}
	if err := b.relay.Serve(ctx); err != nil && ctx.Err() == nil {
		a.log.Warn("claim URLs are not served over loopback; the tools are not affected", "error", err)
	}
}
