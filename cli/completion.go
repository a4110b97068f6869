package cli

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// The scripts for the shells. They ask the program itself, so that they fit it.
var (
	//go:embed completion/kubbi-mcp.bash
	bashCompletion string
	//go:embed completion/kubbi-mcp.zsh
	zshCompletion string
	//go:embed completion/kubbi-mcp.fish
	fishCompletion string
)

// completionCmd is `kubbi-mcp completion`.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a shell's script.
func (c *completionCmd) Run(a *app) error {
	return a.print(map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell])
}

// completeName is the command that the scripts ask: `kubbi-mcp __complete --
// WORD...`, with the words up to the cursor. It prints a line that says which
// paths fit as well (file, dir or none), then what the last word may become, each
// on a line with its help behind a tab. It reads no configuration, opens nothing
// and never fails.
const completeName = "__complete"

func printCompletion(w io.Writer, app *kong.Application, words []string) error {
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	c := completionOf(app, words)
	var b strings.Builder
	fmt.Fprintln(&b, c.paths)
	for _, o := range c.offers {
		fmt.Fprintf(&b, "%s\t%s\n", o.word, o.help)
	}
	_, err := io.WriteString(w, b.String())
	return wrapOutput(err)
}

// The kinds of paths that may stand in a place.
const (
	pathsNone = "none"
	pathsFile = "file"
	pathsDir  = "dir"
)

// completion is what the last word may become.
type completion struct {
	paths  string
	offers []offer
}

type offer struct{ word, help string }

// commandLine is what the words before the last one have said.
type commandLine struct {
	node       *kong.Node
	positional int        // how many arguments were given to it
	pending    *kong.Flag // the last word is its value
	ended      bool       // by --: no more flags
	given      []*kong.Flag
}

// completionOf says what the last of the words may become.
func completionOf(app *kong.Application, words []string) completion {
	last := ""
	if len(words) > 0 {
		last, words = words[len(words)-1], words[:len(words)-1]
	}
	l := commandLine{node: app.Node}
	for _, w := range words {
		l.read(w)
	}
	switch flag, value, given := strings.Cut(last, "="); {
	case l.pending != nil:
		return valueOf(l.pending.Value, "", strings.TrimPrefix(last, "=")) // bash takes = for a word
	case !l.ended && strings.HasPrefix(last, "--") && given:
		if f := l.flag(flag); f != nil {
			return valueOf(f.Value, flag+"=", value)
		}
		return completion{paths: pathsNone}
	case !l.ended && strings.HasPrefix(last, "-"):
		return l.flags(last)
	default:
		return l.argument(last)
	}
}

// read takes in a word that is complete.
func (l *commandLine) read(word string) {
	switch {
	case l.pending != nil:
		if word != "=" {
			l.pending = nil
		}
	case l.ended || word == "-" || !strings.HasPrefix(word, "-"):
		if child := l.child(word); child != nil {
			l.node = child
		} else {
			l.positional++
		}
	case word == "--":
		l.ended = true
	default:
		name, _, given := strings.Cut(word, "=")
		f := l.flag(name)
		if f == nil {
			return
		}
		l.given = append(l.given, f)
		attached := !strings.HasPrefix(word, "--") && len(word) > 2
		if !given && !attached && !f.IsBool() && !f.IsCounter() {
			l.pending = f
		}
	}
}

// child is the command of that name beneath this one.
func (l *commandLine) child(name string) *kong.Node {
	if l.ended || l.positional > 0 {
		return nil
	}
	for _, c := range l.node.Children {
		if c.Name == name || slices.Contains(c.Aliases, name) {
			return c
		}
	}
	return nil
}

// all are the flags that fit here.
func (l *commandLine) all() []*kong.Flag {
	all := slices.Concat(l.node.AllFlags(true)...)
	if d := l.node.DefaultCmd; d != nil && d.Tag.Default == "withargs" {
		all = append(all, d.Flags...)
	}
	return all
}

// flag finds the flag that is written like this: --name, -n or -nVALUE.
func (l *commandLine) flag(word string) *kong.Flag {
	for _, f := range l.all() {
		name, long := strings.CutPrefix(word, "--")
		switch {
		case long && (f.Name == name || slices.Contains(f.Aliases, name)):
			return f
		case !long && f.Short != 0 && strings.HasPrefix(word[1:], string(f.Short)):
			return f
		}
	}
	return nil
}

// flags offers those that begin with a word, and were not given, unless they may
// be given again.
func (l *commandLine) flags(word string) completion {
	c := completion{paths: pathsNone}
	for _, f := range l.all() {
		if slices.Contains(l.given, f) && !f.IsCumulative() {
			continue
		}
		c.add("--"+f.Name, f.Help, word)
	}
	slices.SortFunc(c.offers, func(a, b offer) int { return strings.Compare(a.word, b.word) })
	return c
}

// argument offers commands, or what the next argument may be.
func (l *commandLine) argument(word string) completion {
	c := completion{paths: pathsNone}
	if l.positional == 0 && !l.ended {
		for _, child := range l.node.Children {
			if !child.Hidden {
				c.add(child.Name, child.Help, word)
			}
		}
	}
	args := l.node.Positional
	if len(args) == 0 {
		return c
	}
	i := l.positional
	if i >= len(args) {
		if i = len(args) - 1; !args[i].IsCumulative() {
			return c
		}
	}
	if args[i].Tag.Get("complete") == "command" {
		return l.commands(word)
	}
	return valueOf(args[i], "", word)
}

// commands offers the commands of the whole program.
func (l *commandLine) commands(word string) completion {
	root := l.node
	for root.Parent != nil {
		root = root.Parent
	}
	top := commandLine{node: root}
	return top.argument(word)
}

// valueOf offers values of a flag or an argument, behind what is before them in
// the word. The tag complete says which: file, dir, or the values themselves.
func valueOf(v *kong.Value, before, word string) completion {
	c := completion{paths: pathsNone}
	values := v.Enum
	switch tag := v.Tag.Get("complete"); tag {
	case pathsFile, pathsDir:
		c.paths = tag
		return c
	case "":
	default:
		values = tag
	}
	if v.IsSlice() && v.Tag.Sep == ',' {
		i := strings.LastIndexByte(word, ',') + 1
		before, word = before+word[:i], word[i:]
	}
	for value := range strings.SplitSeq(values, ",") {
		if value != "" && strings.HasPrefix(value, word) {
			c.offers = append(c.offers, offer{before + value, ""})
		}
	}
	return c
}

// add offers a word with the first sentence of its help.
func (c *completion) add(word, help, begun string) {
	if !strings.HasPrefix(word, begun) {
		return
	}
	first, _, _ := strings.Cut(help, ". ")
	first = strings.TrimSuffix(strings.Join(strings.Fields(first), " "), ".")
	c.offers = append(c.offers, offer{word, first})
}
