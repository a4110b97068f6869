package cli

import (
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// commandLine is what the words of a command line mean, as far as they were read.
type commandLine struct {
	node       *kong.Node   // the command
	positional int          // how many arguments the command has
	pending    *kong.Flag   // the flag whose value is the next word
	ended      bool         // "--" was read: no more flags
	given      []*kong.Flag // the flags that were read
}

// read adds a word.
func (l *commandLine) read(word string) {
	switch {
	case l.pending != nil:
		if word != "=" { // bash makes a word of it
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
		name, _, hasValue := strings.Cut(word, "=")
		f := l.flag(name)
		if f == nil {
			return
		}
		l.given = append(l.given, f)
		attached := !strings.HasPrefix(word, "--") && len(word) > 2
		if !hasValue && !attached && !f.IsBool() && !f.IsCounter() {
			l.pending = f
		}
	}
}

// child is the command of that name below this one.
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

// flags are the flags that the command takes.
func (l *commandLine) flags() []*kong.Flag {
	all := slices.Concat(l.node.AllFlags(true)...)
	if d := l.node.DefaultCmd; d != nil && d.Tag.Default == "withargs" {
		all = append(all, d.Flags...)
	}
	return all
}

// flag finds a flag by a word: --name, -n or -nVALUE.
func (l *commandLine) flag(word string) *kong.Flag {
	for _, f := range l.flags() {
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

// dashToken is a claim token that looks like flags: one of 64 starts with a hyphen. A
// key, or other text that was pasted with it, may follow.
var dashToken = regexp.MustCompile(`(?s)^-[A-Za-z0-9_-]{42}([^A-Za-z0-9_=-].*)?$`)

// argumentsLast moves a command's arguments behind its flags and a "--". kong needs that
// in two cases: it ends a list of arguments at the first flag, and it takes a token that
// starts with a hyphen for flags.
func argumentsLast(app *kong.Application, args []string) []string {
	l := commandLine{node: app.Node}
	var flags, arguments []string
	needed, flagAfterArgument := false, false
	for _, arg := range args {
		isValue, ended, before := l.pending != nil, l.ended, l.positional
		token := !isValue && !ended && dashToken.MatchString(arg)
		if token {
			l.positional++
		} else {
			l.read(arg)
		}
		switch {
		case l.positional > before:
			needed = needed || token || flagAfterArgument
			arguments = append(arguments, arg)
		case l.ended && !ended: // the -- itself
		default:
			flagAfterArgument = len(arguments) > 0
			flags = append(flags, arg)
		}
	}
	if !needed || l.node == app.Node {
		return args
	}
	return slices.Concat(flags, []string{"--"}, arguments)
}
