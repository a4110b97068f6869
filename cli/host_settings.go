package cli

import (
	"cmp"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// placeholder is what an MCP host leaves if it has no value to fill in: ${NAME},
// ${env:NAME}, ${input:name}, ${user_config.name}, ${NAME:-default}.
var placeholder = regexp.MustCompile(`\$\{[^{}]*\}`)

// isPlaceholder reports whether a value is one placeholder and nothing else.
func isPlaceholder(s string) bool {
	at := placeholder.FindStringIndex(s)
	return at != nil && at[0] == 0 && at[1] == len(s)
}

// mayHoldPlaceholders are the variables of flags whose values may contain the text of a
// placeholder: folders, and a URL with a password.
var mayHoldPlaceholders = []string{"KUBBI_ALLOW_DIRS", "KUBBI_STORE", "KUBBI_KEYRING"}

// hostSettings reads settings as MCP hosts pass them. A value may be blank, be in
// quotes, or be a placeholder that the host did not fill in, which counts as blank.
type hostSettings struct {
	getenv func(string) string

	used     map[string]string // the variables whose values were used, by flag
	mu       sync.Mutex
	unfilled []string     // the settings that were placeholders
	log      *slog.Logger // nil until logTo is called
}

// get gives a variable's value, "" if it is blank.
func (h *hostSettings) get(name string) string {
	v := unquote(strings.TrimSpace(h.getenv(name)))
	if isPlaceholder(v) {
		h.note(name)
		return ""
	}
	return v
}

// list gives the entries of a variable whose value is a list.
func (h *hostSettings) list(name string) []string {
	return h.filled(name, splitList(runtime.GOOS, unquote(strings.TrimSpace(h.getenv(name)))))
}

// filled gives the entries of a list that are neither blank nor placeholders.
func (h *hostSettings) filled(setting string, entries []string) (filled []string) {
	for _, v := range entries {
		switch v = unquote(strings.TrimSpace(v)); {
		case v == "":
		case isPlaceholder(v):
			h.note(setting)
		default:
			filled = append(filled, v)
		}
	}
	return filled
}

// note logs, once, that a setting was a placeholder.
func (h *hostSettings) note(setting string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.unfilled, setting) {
		h.unfilled = append(h.unfilled, setting)
		h.warn(setting)
	}
}

// logTo sets the log, and logs the settings that were noted before.
func (h *hostSettings) logTo(log *slog.Logger) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = log
	h.warn(h.unfilled...)
}

func (h *hostSettings) warn(settings ...string) {
	for _, s := range settings {
		if h.log != nil {
			h.log.Warn("the host left a placeholder where a value belongs: it counts as not given", "setting", s)
		}
	}
}

// environment gives the flags that are not on the command line their variables' values.
// Hosts often set a variable to "" for a setting that was left blank, so that an empty
// value counts as unset; kong's own env tag would take it as given.
func (h *hostSettings) environment() kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		name := flag.Tag.Get("variable")
		if name == "" {
			return nil, nil
		}
		// kong reads lists as JSON, which is UTF-8.
		isList := flag.IsSlice() && utf8.ValidString(h.getenv(name))
		values := []string{h.get(name)}
		if isList {
			values = h.list(name)
		}
		if len(values) == 0 || values[0] == "" {
			return nil, nil
		}
		for _, v := range values {
			if err := refusePlaceholderInText(flag, name, v); err != nil {
				return nil, err
			}
		}
		if h.used == nil {
			h.used = map[string]string{}
		}
		h.used[flag.Name] = name
		if !isList {
			return values[0], nil
		}
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = v
		}
		return list, nil
	})
}

// named adds the variable to an error about a flag whose value came from there.
func (h *hostSettings) named(err error) error {
	name, what, ok := strings.Cut(strings.TrimPrefix(err.Error(), "--"), ": ")
	if variable := h.used[name]; ok && variable != "" && !strings.Contains(what, variable) {
		return fmt.Errorf("--%s (%s): %s", name, variable, what)
	}
	return err
}

// arguments removes flags without a value from the command line, and such entries of
// lists. Only flags that have a variable are settings that a host fills in. Words after
// serve become values of --allow-dir: a host that has a list of folders can pass it only as
// words of their own. (A default command can't have arguments in kong.)
func (h *hostSettings) arguments(model *kong.Application, args []string) ([]string, error) {
	flags := map[string]*kong.Flag{}
	_ = kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		if f, ok := node.(*kong.Flag); ok && f.Tag.Get("variable") != "" {
			flags["--"+f.Name] = f
		}
		return next(nil)
	})
	out := make([]string, 0, len(args))
	command := ""
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(out, args[i:]...), nil
		}
		words := args[i : i+1]
		name, value, joined := strings.Cut(args[i], "=")
		flag := flags[name]
		if flag != nil && !joined && !flag.IsBool() && i+1 < len(args) {
			i++
			words, value, joined = args[i-1:i+1], args[i], true
		}
		if flag != nil && joined {
			kept, given, err := h.argument(flag, value)
			switch {
			case err != nil:
				return nil, err
			case !given:
				continue
			case kept != value:
				words = []string{name + "=" + kept}
			}
		}
		if !strings.HasPrefix(args[i], "-") && flag == nil {
			if command == "serve" {
				for _, folder := range h.filled("the folders of serve", args[i:i+1]) {
					out = append(out, "--allow-dir="+kong.JoinEscaped([]string{folder}, ','))
				}
				continue
			}
			command = cmp.Or(command, args[i])
		}
		out = append(out, words...)
	}
	return out, nil
}

// argument gives the value of a flag on the command line, and whether it has one.
func (h *hostSettings) argument(flag *kong.Flag, value string) (string, bool, error) {
	name := "--" + flag.Name
	switch {
	case !flag.IsSlice() && isPlaceholder(value):
		h.note(name)
		return "", false, nil
	case !flag.IsSlice():
		// A string flag may be given as "" to override its variable.
		return value, value != "" || flag.Target.Type() == reflect.TypeFor[string](), refusePlaceholderInText(flag, name, value)
	case !strings.Contains(value, "${") && strings.TrimSpace(value) != "":
		return value, true, nil
	}
	entries := h.filled(name, kong.SplitEscaped(value, ','))
	for _, v := range entries {
		if err := refusePlaceholderInText(flag, name, v); err != nil {
			return "", false, err
		}
	}
	return kong.JoinEscaped(entries, ','), len(entries) > 0, nil
}

// refusePlaceholderInText refuses a placeholder with other text around it. The error does
// not quote the value, which may be a secret.
func refusePlaceholderInText(flag *kong.Flag, setting, value string) error {
	if !placeholder.MatchString(value) || slices.Contains(mayHoldPlaceholders, flag.Tag.Get("variable")) {
		return nil
	}
	return fmt.Errorf("%s holds a placeholder, ${...}, that the host did not fill in: write the value itself", setting)
}

// splitList splits a list at commas and line ends. A backslash before a comma makes it
// part of the entry, except on Windows, where a path may end with a backslash.
func splitList(goos, list string) (entries []string) {
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if goos == "windows" {
			entries = append(entries, strings.Split(line, ",")...)
		} else {
			entries = append(entries, kong.SplitEscaped(line, ',')...)
		}
	}
	return entries
}

// unquote removes quotes around a value. Hosts do not remove them as a shell does.
func unquote(s string) string {
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] && strings.Count(s, s[:1]) == 2 {
		return strings.TrimSpace(s[1 : n-1])
	}
	return s
}
