package cli

import (
	"cmp"
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionScripts are the shells' scripts. They run this program to complete a word, so
// that they always fit it.
//
//go:embed completion/kubbi-mcp.*
var completionScripts embed.FS

// completionCmd is `kubbi-mcp completion`.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a shell's script.
func (c *completionCmd) Run(a *app) error {
	script, err := completionScripts.ReadFile("completion/kubbi-mcp." + c.Shell)
	if err != nil {
		return err
	}
	return a.print(string(script))
}

// completeName is the command that the scripts run: `kubbi-mcp __complete -- WORD...`,
// with the words up to the cursor. Its first line says which paths complete the last word
// as well: file, dir or none. Each further line is a completion, a tab and its help. The
// command reads no configuration, opens nothing and never fails.
const completeName = "__complete"

func printCompletion(w io.Writer, app *kong.Application, words []string) error {
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	c := complete(app, words)
	var b strings.Builder
	fmt.Fprintln(&b, cmp.Or(c.paths, "none"))
	for _, o := range c.offers {
		fmt.Fprintf(&b, "%s\t%s\n", o.word, o.help)
	}
	_, err := io.WriteString(w, b.String())
	return wrapOutput(err)
}

// The kinds of paths that complete a word.
const (
	pathsFile = "file"
	pathsDir  = "dir"
)

// completion is what the last word can become.
type completion struct {
	paths  string // pathsFile, pathsDir or ""
	offers []offer
}

type offer struct{ word, help string }

// offer adds a word that begins with prefix, with the first sentence of its help.
func (c *completion) offer(word, help, prefix string) {
	if !strings.HasPrefix(word, prefix) {
		return
	}
	first, _, _ := strings.Cut(help, ". ")
	first = strings.TrimSuffix(strings.Join(strings.Fields(first), " "), ".")
	c.offers = append(c.offers, offer{word, first})
}

// complete completes the last of the words.
func complete(app *kong.Application, words []string) completion {
	last := ""
	if len(words) > 0 {
		last, words = words[len(words)-1], words[:len(words)-1]
	}
	l := commandLine{node: app.Node}
	for _, w := range words {
		l.read(w)
	}
	switch flag, value, hasValue := strings.Cut(last, "="); {
	case l.pending != nil:
		return completeValue(l.pending.Value, "", strings.TrimPrefix(last, "="))
	case !l.ended && strings.HasPrefix(last, "--") && hasValue:
		if f := l.flag(flag); f != nil {
			return completeValue(f.Value, flag+"=", value)
		}
		return completion{}
	case !l.ended && strings.HasPrefix(last, "-"):
		return l.completeFlag(last)
	}
	return l.completeArgument(app, last)
}

// completeFlag offers the flags that were not given yet, or can be repeated.
func (l *commandLine) completeFlag(word string) completion {
	var c completion
	for _, f := range l.flags() {
		if !slices.Contains(l.given, f) || f.IsCumulative() {
			c.offer("--"+f.Name, f.Help, word)
		}
	}
	slices.SortFunc(c.offers, func(a, b offer) int { return strings.Compare(a.word, b.word) })
	return c
}

// completeArgument offers commands, or values of the next argument.
func (l *commandLine) completeArgument(app *kong.Application, word string) completion {
	var c completion
	if l.positional == 0 && !l.ended {
		for _, child := range l.node.Children {
			if !child.Hidden {
				c.offer(child.Name, child.Help, word)
			}
		}
	}
	args := l.node.Positional
	if len(args) == 0 {
		return c
	}
	i := min(l.positional, len(args)-1)
	switch {
	case l.positional > i && !args[i].IsCumulative():
		return c
	case args[i].Tag.Get("complete") == "command":
		return (&commandLine{node: app.Node}).completeArgument(app, word)
	}
	return completeValue(args[i], "", word)
}

// completeValue offers values of a flag or an argument. The tag complete says which:
// file, dir, or a list of values. prefix is the part of the word before the value.
func completeValue(v *kong.Value, prefix, word string) completion {
	var c completion
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
		prefix, word = prefix+word[:i], word[i:]
	}
	for value := range strings.SplitSeq(values, ",") {
		if value != "" && strings.HasPrefix(value, word) {
			c.offers = append(c.offers, offer{word: prefix + value})
		}
	}
	return c
}
