package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// version is set by release builds, with -ldflags "-X kubbi-mcp/cli.version=v1.2.3".
var version string

// build says what this binary was made from.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitzero"` // of the tree it was built in; "+dirty" where that had changes
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func buildInfo() build {
	b := build{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "devel"
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if b.Commit != "" {
		b.Commit += dirty
	}
	return b
}

// versionCmd is `kubbi-mcp version`.
type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints the version.
func (c *versionCmd) Run(a *app) error {
	b := buildInfo()
	if c.JSON {
		return a.printJSON(b)
	}
	return a.print(b.line())
}

// line is what people see of it.
func (b build) line() string {
	return fmt.Sprintf("kubbi-mcp %s (%s, %s/%s)\n", b.Version, b.Go, b.OS, b.Arch)
}

// versionFlag is --version, which does what the command does.
type versionFlag bool

// BeforeReset prints the version in place of all else. kong calls it.
func (versionFlag) BeforeReset(k *kong.Kong) error {
	_, err := io.WriteString(k.Stdout, buildInfo().line())
	k.Exit(0)
	return wrapOutput(err)
}
