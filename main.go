// Command kubbi-mcp hands work from one agent to another. It is an MCP server, the same
// tools from the shell, and a relay for a team. README.md says how to start.
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
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)

	err := cli.Run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		if message := cli.Message(err); message != "" {
			fmt.Fprintf(os.Stderr, "kubbi-mcp: %s\n", message)
		}
	}
	os.Exit(cli.ExitCode(err))
}
