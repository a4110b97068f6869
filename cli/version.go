package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by release builds, with -ldflags "-X kubbi-mcp/cli.version=v1.2.3".
var version string

// build describes this binary.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitzero"` // with "+dirty" if the tree had changes
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
	return a.print(b.line() + "\n")
}

// line is the version for people.
func (b build) line() string {
	return fmt.Sprintf("kubbi-mcp %s (%s, %s/%s)", b.Version, b.Go, b.OS, b.Arch)
}
