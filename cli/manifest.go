package cli

import (
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"kubbi-mcp/server"
)

// manifestCmd is `kubbi-mcp manifest`. A release makes its packages, manuals and manifests
// from what it prints, so that none of them can differ from the program.
type manifestCmd struct {
	JSON bool `name:"json" required:"" help:"Print JSON; there is no other form."`
}

// manifest describes this program.
type manifest struct {
	Name        string            `json:"name"`
	Title       string            `json:"title"`
	Version     string            `json:"version"`
	Module      string            `json:"module"` // the path of the Go module
	Description string            `json:"description"`
	About       string            `json:"about"` // one or two sentences more
	Tools       []server.Offer    `json:"tools"`
	Prompts     []server.Offer    `json:"prompts"`
	Settings    []manifestFlag    `json:"settings"` // the flags of all commands
	Commands    []manifestCommand `json:"commands"`
	ExitCodes   string            `json:"exit_codes"` // as the help has them
}

// manifestCommand is a command that does something.
type manifestCommand struct {
	Words     []string           `json:"words"` // as keys create
	Help      string             `json:"help"`
	Default   bool               `json:"default,omitzero"` // runs when no command is given
	Arguments []manifestArgument `json:"arguments"`
	Flags     []manifestFlag     `json:"flags"` // without those of all commands
}

// manifestArgument is an argument without a flag.
type manifestArgument struct {
	Usage string `json:"usage"` // as [URL ...]
	Help  string `json:"help"`
}

// manifestFlag is a flag and its environment variable.
type manifestFlag struct {
	Name       string `json:"name"`
	Short      string `json:"short,omitzero"`
	Variable   string `json:"variable,omitzero"`
	Type       string `json:"type"`                // boolean, number, folder, secret or text
	Value      string `json:"value,omitzero"`      // stands for the value in the help
	Default    string `json:"default,omitzero"`    // as on a command line
	Repeatable bool   `json:"repeatable,omitzero"` // the variable has commas between
	Title      string `json:"title,omitzero"`      // of the field in a host's form; empty if a host does not ask for it
	Help       string `json:"help"`
}

// Run prints the manifest.
func (c *manifestCmd) Run(a *app) error {
	return a.withBackend(func(b *backend) error {
		srv, err := server.New(server.Config{Client: b.client, Logger: slog.New(slog.DiscardHandler), PollEvery: time.Hour})
		if err != nil {
			return err
		}
		defer srv.Close()
		info, about := buildInfo(), srv.About()
		_, more, _ := strings.Cut(description, "\n\n")
		m := manifest{
			Name: about.Name, Title: about.Title, Version: info.Version, Module: modulePath(),
			Description: about.Description, About: more,
			Tools: about.Tools, Prompts: about.Prompts,
			Settings: manifestFlags(a.model.Flags), ExitCodes: exitCodes,
		}
		for _, leaf := range a.model.Leaves(true) {
			m.Commands = append(m.Commands, describeCommand(leaf))
		}
		return a.printJSON(m)
	})
}

// modulePath is the path of this program's Go module.
func modulePath() string {
	path, _, _ := strings.Cut(reflect.TypeFor[manifest]().PkgPath(), "/cli")
	return path
}

func describeCommand(leaf *kong.Node) manifestCommand {
	c := manifestCommand{Help: leaf.Help, Flags: manifestFlags(leaf.Flags)}
	for n := leaf; n.Type == kong.CommandNode; n = n.Parent {
		c.Words = append([]string{n.Name}, c.Words...)
		c.Default = n.Parent.DefaultCmd == n && n.Parent.Type == kong.ApplicationNode
	}
	for _, p := range leaf.Positional {
		c.Arguments = append(c.Arguments, manifestArgument{p.Summary(), p.Help})
	}
	return c
}

func manifestFlags(flags []*kong.Flag) (all []manifestFlag) {
	for _, f := range flags {
		if f.Hidden || f.Name == "help" {
			continue
		}
		m := manifestFlag{
			Name: f.Name, Variable: f.Tag.Get("variable"), Default: f.Default, Repeatable: f.IsSlice(),
			Title: f.Tag.Get("title"), Help: f.Help, Type: "text",
		}
		if f.Short != 0 {
			m.Short = string(f.Short)
		}
		switch kind := f.Target.Kind(); {
		case f.IsBool():
			m.Type = "boolean"
		case f.Tag.Get("complete") == pathsDir:
			m.Type = "folder"
		case f.Tag.Has("secret"):
			m.Type = "secret"
		case kind >= reflect.Int && kind <= reflect.Float64 && f.Target.Type().PkgPath() == "": // a type of ours takes units
			m.Type = "number"
		}
		if !f.IsBool() {
			m.Value = f.FormatPlaceHolder()
		}
		all = append(all, m)
	}
	return all
}
