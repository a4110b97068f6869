// Command kubbi-mcp hands work from one agent to another: an MCP server over
// stdio, and the same from the shell. README.md says how to start.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"kubbi-mcp/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process the hard way, whatever it is waiting for.
	context.AfterFunc(ctx, stop)

	err := cli.Run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "kubbi-mcp: %s\n", cli.Message(err))
	}
	os.Exit(cli.ExitCode(err))
}
