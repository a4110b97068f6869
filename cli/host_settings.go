package cli

import (
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

// placeholder is what hosts leave where they had no value to fill in: ${NAME},
// ${env:NAME}, ${input:name}, ${user_config.name}, ${NAME:-default}.
var placeholder = regexp.MustCompile(`\$\{[^{}]*\}`)

// isPlaceholder tells whether a value is one placeholder and nothing else.
func isPlaceholder(s string) bool {
	at := placeholder.FindStringIndex(s)
	return at != nil && at[0] == 0 && at[1] == len(s)
}

// mayHoldPlaceholders are the variables of flags in whose values a placeholder
// amid other text may be meant so: folders, and a URL with a password. Each is
// told by its own reader if it leads nowhere.
var mayHoldPlaceholders = []string{"KUBBI_ALLOW_DIRS", "KUBBI_STORE", "KUBBI_KEYRING"}

// hostValues reads settings as MCP hosts pass them: blank, in quotes, or with a
// placeholder that the host could not fill in, which counts as blank.
type hostValues struct {
	getenv func(string) string

	used     map[string]string // variables that were used, by flag
	mu       sync.Mutex
	unfilled []string     // the settings that were placeholders
	log      *slog.Logger // nil: not yet
}

// get gives a variable's value, "" for one that is as good as not set.
func (h *hostValues) get(name string) string {
	v := unquote(strings.TrimSpace(h.getenv(name)))
	if isPlaceholder(v) {
		h.note(name)
		return ""
	}
	return v
}

// list gives the entries of a variable whose value is a list.
func (h *hostValues) list(name string) (entries []string) {
	for _, v := range splitList(runtime.GOOS, unquote(strings.TrimSpace(h.getenv(name)))) {
		switch v = unquote(strings.TrimSpace(v)); {
		case v == "":
		case isPlaceholder(v):
			h.note(name)
		default:
			entries = append(entries, v)
		}
	}
	return entries
}

// note keeps that a setting was a placeholder, for the log.
func (h *hostValues) note(setting string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.unfilled, setting) {
		h.unfilled = append(h.unfilled, setting)
		h.tell(setting)
	}
}

// logTo gives the log, in which those noted so far are told as well.
func (h *hostValues) logTo(log *slog.Logger) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = log
	for _, setting := range h.unfilled {
		h.tell(setting)
	}
}

func (h *hostValues) tell(setting string) {
	if h.log != nil {
		h.log.Warn("the host left a placeholder where a value belongs: it counts as not given", "setting", setting)
	}
}

// environment fills in flags that are not on the command line. Hosts often
// pass a variable with an empty value for a setting left blank, so empty is
// unset; kong's own env tag would take it as given.
func (h *hostValues) environment() kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		name := flag.Tag.Get("variable")
		switch {
		case name == "":
			return nil, nil
		case !flag.IsSlice() || !utf8.ValidString(h.getenv(name)): // kong takes lists through JSON
			if v := h.get(name); v != "" {
				h.use(flag)
				return v, amidText(flag, name, v)
			}
			return nil, nil
		}
		var entries []any
		for _, v := range h.list(name) {
			if err := amidText(flag, name, v); err != nil {
				return nil, err
			}
			entries = append(entries, v)
		}
		if entries == nil {
			return nil, nil
		}
		h.use(flag)
		return entries, nil
	})
}

func (h *hostValues) use(flag *kong.Flag) {
	if h.used == nil {
		h.used = map[string]string{}
	}
	h.used[flag.Name] = flag.Tag.Get("variable")
}

// named adds the variable to an error about a flag whose value came from there.
func (h *hostValues) named(err error) error {
	name, what, ok := strings.Cut(strings.TrimPrefix(err.Error(), "--"), ": ")
	if variable := h.used[name]; ok && variable != "" && !strings.Contains(what, variable) {
		return fmt.Errorf("--%s (%s): %s", name, variable, what)
	}
	return err
}

// arguments gives the command line without the flags that a host had no value
// for, and without such entries of lists. Only flags that have a variable are
// settings that a host fills in.
func (h *hostValues) arguments(model *kong.Application, args []string) ([]string, error) {
	flags := map[string]*kong.Flag{}
	_ = kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		if f, ok := node.(*kong.Flag); ok && f.Tag.Get("variable") != "" {
			flags["--"+f.Name] = f
		}
		return next(nil)
	})
	out := make([]string, 0, len(args))
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
		out = append(out, words...)
	}
	return out, nil
}

// argument gives a flag's value, and whether there is one.
func (h *hostValues) argument(flag *kong.Flag, value string) (string, bool, error) {
	name := "--" + flag.Name
	if !flag.IsSlice() {
		if isPlaceholder(value) {
			h.note(name)
			return "", false, nil
		}
		// An empty text can be meant so: it overrides the variable.
		return value, value != "" || flag.Target.Type() == reflect.TypeFor[string](), amidText(flag, name, value)
	}
	if !strings.Contains(value, "${") && strings.TrimSpace(value) != "" {
		return value, true, nil
	}
	var entries []string
	for _, v := range kong.SplitEscaped(value, ',') {
		switch trimmed := strings.TrimSpace(v); {
		case trimmed == "":
		case isPlaceholder(trimmed):
			h.note(name)
		default:
			if err := amidText(flag, name, v); err != nil {
				return "", false, err
			}
			entries = append(entries, v)
		}
	}
	return kong.JoinEscaped(entries, ','), len(entries) > 0, nil
}

// amidText refuses a placeholder with other text around it. It does not quote
// the value, which may be a secret.
func amidText(flag *kong.Flag, setting, value string) error {
	if !placeholder.MatchString(value) || slices.Contains(mayHoldPlaceholders, flag.Tag.Get("variable")) {
		return nil
	}
	return fmt.Errorf("%s holds a placeholder, ${...}, that the host did not fill in: write the value itself", setting)
}

// splitList splits a list at commas and line ends. A comma after a backslash
// belongs to the entry, but not on Windows, where paths end with one.
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

// unquote takes off the quotes around a value that no shell has seen.
func unquote(s string) string {
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] && strings.Count(s, s[:1]) == 2 {
		return strings.TrimSpace(s[1 : n-1])
	}
	return s
}
