package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"kubbi-mcp/internal/hostfile"
	"kubbi-mcp/tools"
)

// installCmd is `kubbi-mcp install`.
type installCmd struct {
	Host string `arg:"" complete:"host" help:"claude-code, claude-desktop, codex, cursor, gemini, jetbrains, vscode, windsurf or zed."`

	Env     []string `sep:"none" placeholder:"NAME[=VALUE]" help:"A variable for the server, such as KUBBI_API_KEY. Without a value it is taken from your environment. May be repeated."`
	Command string   `placeholder:"PATH" help:"The program that the host starts. Default: this one."`
	Print   bool     `xor:"shown" help:"Print what stands in the host's file, and change nothing."`
	Link    bool     `xor:"shown" help:"Print a link that makes the host offer to add the server (cursor, vscode)."`
	hostFlags
}

// hostFlags are the flags of install and uninstall.
type hostFlags struct {
	Name string `default:"kubbi" help:"The name of the server in the host."`
	File string `placeholder:"PATH" complete:"path" help:"The host's file, if it is not where the host usually has it: for example that of a project."`
	Yes  bool   `short:"y" help:"Do not ask before the change."`
}

// uninstallCmd is `kubbi-mcp uninstall`.
type uninstallCmd struct {
	Host string `arg:"" complete:"host" help:"As in install."`
	hostFlags
}

// serverName is what every host takes as the name of a server.
var serverName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

// Run enters this program into a host's file.
func (c *installCmd) Run(a *app) error {
	host, err := hostfile.Find(c.Host)
	if err != nil {
		return usage(err)
	}
	s, err := c.server(a)
	if err != nil {
		return usage(err)
	}
	switch {
	case c.Link:
		link, err := host.Link(s)
		if err == nil && link == "" {
			err = usagef("%s has no links of this kind: leave out --link", host.Title)
		}
		if err != nil {
			return err
		}
		return a.print(link + "\n")
	case c.Print:
		text, err := host.Snippet(s)
		if err != nil {
			return err
		}
		return a.print(text)
	}
	return c.change(a, host, func(text []byte) ([]byte, error) { return host.Set(text, s) })
}

// Run removes this program from a host's file.
func (c *uninstallCmd) Run(a *app) error {
	host, err := hostfile.Find(c.Host)
	if err != nil {
		return usage(err)
	}
	if !serverName.MatchString(c.Name) {
		return usage(errServerName)
	}
	return c.change(a, host, func(text []byte) ([]byte, error) { return host.Remove(text, c.Name) })
}

var errServerName = errors.New("--name: only letters, digits, underscore and hyphen, at most 40")

// server is how the host shall start this program.
func (c *installCmd) server(a *app) (s hostfile.Server, err error) {
	if !serverName.MatchString(c.Name) {
		return s, errServerName
	}
	s = hostfile.Server{Name: c.Name, Command: c.Command, Args: []string{"serve"}, Env: map[string]string{}}
	switch {
	case s.Command == "" && c.Print:
		s.Command = "/path/to/kubbi-mcp"
		if own, err := ownProgram(); err == nil {
			s.Command = own
		}
	case s.Command == "":
		s.Command, err = ownProgram()
	case filepath.Base(s.Command) != s.Command: // a name alone is found on the PATH
		s.Command, err = filepath.Abs(s.Command)
	}
	if err != nil {
		return s, err
	}
	for _, dir := range a.cfg.AllowDir {
		if dir, err = absolute(dir); err != nil {
			return s, err
		}
		s.Args = append(s.Args, "--allow-dir", kong.JoinEscaped([]string{dir}, ','))
	}
	for _, e := range c.Env {
		name, value, given := strings.Cut(e, "=")
		if !tools.IsVariable(name) {
			return s, errors.New("--env: give NAME or NAME=VALUE")
		}
		if !given {
			if value = a.getenv(name); value == "" {
				return s, fmt.Errorf("--env %s: your environment has no such variable", name)
			}
		}
		s.Env[name] = value
	}
	return s, nil
}

// ownProgram is this program's path. A host would not find a program in a folder for
// temporary files later.
func ownProgram() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w; give its path with --command", err)
	}
	if ofGoRun(path) {
		return "", errors.New("this program is a temporary one of `go run`, which a host would not find later: run `go install .` first, and then `kubbi-mcp install`, or give a path with --command")
	}
	return path, nil
}

// cacheFolder is the name of a folder in Go's build cache. `go run` starts a program from
// there if it has made it before.
var cacheFolder = regexp.MustCompile(`^[0-9a-f]{64}-d$`)

// ofGoRun reports whether a program is one that `go run` has made, and that will be removed.
func ofGoRun(path string) bool {
	if cacheFolder.MatchString(filepath.Base(filepath.Dir(path))) {
		return true
	}
	temp, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		return false
	}
	in, err := filepath.Rel(temp, path)
	return err == nil && strings.HasPrefix(in, "go-build")
}

func (a *app) machine() hostfile.Machine {
	home, _ := os.UserHomeDir() // Path reports that it is missing
	return hostfile.Machine{OS: runtime.GOOS, Home: home, Getenv: a.getenv}
}

// change shows a change of a host's file, asks, and makes it.
func (f *hostFlags) change(a *app, host hostfile.Host, edit func([]byte) ([]byte, error)) error {
	path := f.File
	if path == "" {
		var err error
		if path, err = host.Path(a.machine()); err != nil {
			return fmt.Errorf("find the file of %s: %w: give it with --file", host.Title, err)
		}
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usagef("%s is a folder: give the host's file in it with --file, as %s", path, filepath.Join(path, "mcp.json"))
	}
	before, err := hostfile.Read(path)
	if err != nil {
		return fmt.Errorf("read the file of %s: %w", host.Title, err)
	}
	after, err := edit(before)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if bytes.Equal(before, after) {
		return a.print(fmt.Sprintf("%s: nothing to change.\n", path))
	}
	if err := a.print(path + ":\n" + printable(hostfile.Difference(before, after))); err != nil {
		return err
	}
	if !f.Yes {
		if ok, err := a.confirm("Change the file? [y/N] "); err != nil || !ok {
			return err
		}
	}
	backup, err := hostfile.Write(path, before, after, time.Now())
	if err != nil {
		return fmt.Errorf("change the file of %s: %w", host.Title, err)
	}
	text := "Changed."
	if backup != "" {
		text += " What it held before is in " + backup + "."
	}
	return a.print(text + "\n" + host.Restart + "\n")
}

// confirm asks a person. Without a terminal it is an error.
func (a *app) confirm(question string) (bool, error) {
	if !isTerminal(a.stdin) {
		return false, usagef("nothing was changed: there is no terminal to ask at; add --yes if you want the change")
	}
	fmt.Fprint(a.stderr, question)
	answer, err := interruptible(a.ctx, func() (string, error) { return bufio.NewReader(a.stdin).ReadString('\n') })
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	if err != nil && err != io.EOF {
		return false, err
	}
	fmt.Fprintln(a.stderr, "Nothing was changed.")
	return false, nil
}
