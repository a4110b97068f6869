package cli

import (
	"regexp"
	"slices"

	"github.com/alecthomas/kong"
)

// dashToken is a bare claim token that looks like flags: one of 64 starts with
// a hyphen. Its key, or what was pasted with it, may follow.
var dashToken = regexp.MustCompile(`(?s)^-[A-Za-z0-9_-]{42}([^A-Za-z0-9_=-].*)?$`)

// argumentsLast moves a command's arguments behind its flags and a "--", where
// kong does not do so by itself: it ends a list of arguments at the first flag, and
// takes a token with a hyphen before it for flags.
func argumentsLast(app *kong.Application, args []string) []string {
	l := commandLine{node: app.Node}
	var flags, arguments []string
	move, gap := false, false // gap: a flag stands behind an argument
	for _, arg := range args {
		value, ended, given := l.pending != nil, l.ended, l.positional
		token := !value && !ended && dashToken.MatchString(arg)
		if token {
			l.positional++
		} else {
			l.read(arg)
		}
		switch {
		case l.positional > given:
			move = move || token || gap
			arguments = append(arguments, arg)
		case l.ended && !ended: // the -- itself
		default:
			gap = len(arguments) > 0
			flags = append(flags, arg)
		}
	}
	if !move || l.node == app.Node {
		return args
	}
	return slices.Concat(flags, []string{"--"}, arguments)
}
