package cli

import (
	"context"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

	"kubbi-mcp/server"
)

// softMemory is from how much memory on, in bytes, the garbage collector works
// harder. A server at its usual work stays well below; what it bounds is what a
// large payload leaves behind on its way. GOMEMLIMIT overrides it.
const softMemory = 36 << 20

// serveCmd is `kubbi-mcp serve`.
type serveCmd struct{}

// Run serves MCP on stdin and stdout until stdin ends or the context does, and
// the embedded relay on loopback for as long.
func (c *serveCmd) Run(a *app) error {
	// A host that stops reading, stderr even, must not end the process in the
	// middle of its work: writing then fails like any other write.
	signal.Ignore(syscall.SIGPIPE)
	if a.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
	if isTerminal(a.stdin) {
		a.remark("kubbi-mcp serves MCP over stdio, which an MCP host starts; Ctrl-D ends it. To look around, try kubbi-mcp demo or --help.")
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
	srv, err := server.New(server.Config{
		Client:     b.client,
		Version:    buildInfo().Version,
		DefaultTTL: a.cfg.DefaultTTL.duration(),
		ToolPrefix: a.cfg.ToolPrefix,
		Logger:     a.log,
	})
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(a.ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	if b.embedded {
		running.Go(func() { a.serveRelay(ctx, b) })
	}
	a.log.Debug("serving MCP over stdio", "version", buildInfo().Version, "embedded", b.embedded)
	return srv.ServeStdio(ctx, a.stdin, a.stdout)
}

// serveRelay opens the embedded relay while the host is still saying hello,
// and serves its claim URLs to curl, browsers and other SDKs. A store that
// can't be opened is told once here, and to the model in each call that needs
// it; a call may find it mended.
func (a *app) serveRelay(ctx context.Context, b *backend) {
	if err := b.relay.Open(ctx); err != nil && ctx.Err() == nil {
		a.log.Error("the embedded relay can't open its store; tools will answer with this error until that is mended", "error", err)
	}
	if err := b.relay.Serve(ctx); err != nil && ctx.Err() == nil {
		a.log.Warn("claim URLs are not served over loopback; the tools are not affected", "error", err)
	}
}
