// Package cli is the command line of kubbi-mcp. It reads flags and environment
// variables, connects the packages that do the work, and turns results and errors into
// output and an exit code. docs/use.md is its manual.
package cli

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"github.com/alecthomas/kong"
)

const description = `Hand work from one agent to another through a claim URL: an MCP server, and the same tools from the shell.

Without an API key the relay runs inside this process: no account, no key, no network.`

// grammar holds the commands and flags. kong parses the command line into it.
type grammar struct {
	Config

	Serve         serveCmd         `cmd:"" default:"1" help:"Serve MCP over stdio, or over HTTP. This is what runs when no command is given."`
	Demo          demoCmd          `cmd:"" help:"Watch two agents hand over a text and a package of files."`
	Send          sendCmd          `cmd:"" help:"Create a kubbi from a text, files, folders or standard input; prints its claim URL."`
	Inspect       inspectCmd       `cmd:"" help:"Show what a claim URL holds, without spending a retrieval."`
	Claim         claimCmd         `cmd:"" help:"Claim: print the content, or write the files. Spends a retrieval."`
	Run           runCmd           `cmd:"" help:"Run a command with what claim URLs hold, as variables and files, and hide it in the output."`
	Handle        handleCmd        `cmd:"" help:"Print the claim URL that an id stands for, on a terminal, or list such ids."`
	Identity      identityCmd      `cmd:"" help:"Print this machine's public key, for which others can seal what they send."`
	Request       requestCmd       `cmd:"" help:"Ask somebody for a secret, another value or files; prints the URL of the page where they answer."`
	Answer        answerCmd        `cmd:"" help:"Answer a request."`
	Get           getCmd           `cmd:"" help:"Show one of your kubbis."`
	List          listCmd          `cmd:"" help:"List your kubbis, newest first."`
	Delete        deleteCmd        `cmd:"" help:"End a kubbi early and wipe its payload."`
	Relay         relayCmd         `cmd:"" help:"Serve a relay to a team."`
	Keys          keysCmd          `cmd:"" help:"Make, list and revoke the API keys of a relay."`
	Keyring       keyringCmd       `cmd:"" help:"Rotate, list and prune the master keys of a relay."`
	Install       installCmd       `cmd:"" help:"Enter this program into an MCP host's configuration, after you have seen the change."`
	Doctor        doctorCmd        `cmd:"" help:"Check everything that a handoff from this machine needs, and say what to do."`
	Uninstall     uninstallCmd     `cmd:"" help:"Remove it from a host's configuration."`
	Folders       foldersCmd       `cmd:"" help:"List and revoke the folders that you have allowed agents to use when asked."`
	WebhookSecret webhookSecretCmd `cmd:"" name:"webhook-secret" help:"Print what webhook receipts for your API key are signed with."`
	Version       versionCmd       `cmd:"" help:"Show the version."`
	Manifest      manifestCmd      `cmd:"" help:"Describe this program, its tools and its settings, for programs that package or configure it."`
	Completion    completionCmd    `cmd:"" help:"Print a script that completes commands and flags in bash, zsh or fish."`
	Help          helpCmd          `cmd:"" help:"Show help, of the whole or of a command."`

	ShowVersion kong.VersionFlag `name:"version" help:"Show the version."`
}

// helpName is the command that does what the flag --help does.
const helpName = "help"

// helpCmd is `kubbi-mcp help`.
type helpCmd struct {
	Command []string `arg:"" optional:"" complete:"command" help:"The command, as send or keys create."`
}

// Run shows the help of a command.
func (c *helpCmd) Run(a *app) error {
	return Run(a.ctx, append(c.Command, "--help"), a.getenv, a.stdin, a.stdout, a.stderr)
}

// app is the environment of a command.
type app struct {
	ctx    context.Context
	cfg    Config
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger
	model  *kong.Application // the command line
}

// with is the same environment with another context.
func (a *app) with(ctx context.Context) *app {
	other := *a
	other.ctx = ctx
	return &other
}

// Run runs the command of args, which don't have the program's name, until it has
// finished or ctx ends. getenv gives environment variables; an empty value counts as
// unset. stderr gets log lines and remarks only: the caller prints the error with Message
// and exits with ExitCode.
func Run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	var g grammar
	helped := false
	host := &hostSettings{getenv: getenv}
	parser, err := kong.New(&g,
		kong.Name("kubbi-mcp"),
		kong.Description(description),
		kong.Vars{"version": buildInfo().line()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }), // kong calls it after --help and --version only
		kong.Resolvers(host.environment()),
		kong.ValueFormatter(helpWithVariable),
		kong.Help(helpWithExitCodes),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return err
	}
	switch {
	case len(args) > 0 && args[0] == completeName:
		return printCompletion(stdout, parser.Model, args[1:])
	case len(args) > 0 && args[0] == helpName: // works with a wrong configuration, too
		args = append(slices.Clone(args[1:]), "--help")
	}
	if args, err = host.arguments(parser.Model, args); err != nil {
		return usage(err)
	}
	parsed, err := parser.Parse(argumentsLast(parser.Model, args))
	if helped {
		return nil
	}
	if err != nil {
		return usage(host.named(err))
	}
	if err := g.Config.validate(); err != nil {
		return usage(err)
	}
	a := &app{
		ctx: ctx, cfg: g.Config, getenv: host.get,
		stdin: stdin, stdout: stdout, stderr: stderr, model: parser.Model,
	}
	a.log = a.logger(parsed.Command() == "serve" || parsed.Command() == "relay serve")
	host.logTo(a.log)
	err = parsed.Run(a)
	if ctx.Err() != nil && err != nil {
		return exitError{err, exitInterrupted}
	}
	return err
}
