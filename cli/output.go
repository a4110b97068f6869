package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"

	"kubbi-mcp/internal/untrusted"
)

// logger gives the logger that the flags ask for. A server tells more by
// itself than a command whose whole story is its output.
func (a *app) logger(server bool) *slog.Logger {
	level := slog.LevelWarn
	if server {
		level = slog.LevelInfo
	}
	if a.cfg.LogLevel.set {
		level = a.cfg.LogLevel.level
	}
	if a.cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(a.stderr, &tint.Options{
		Level:      level,
		TimeFormat: "15:04:05.000",
		NoColor:    !a.colour(a.stderr),
	}))
}

// isTerminal tells whether a person reads w as it is written.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// colour tells whether w may have colour; see no-color.org.
func (a *app) colour(w io.Writer) bool {
	return isTerminal(w) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

// remark tells a person at a terminal something that is not the output.
func (a *app) remark(format string, args ...any) {
	if isTerminal(a.stderr) {
		fmt.Fprintf(a.stderr, "%s\n", printable(fmt.Sprintf(format, args...)))
	}
}

// printJSON writes v as indented JSON and a line end. What can't be seen is written
// as an escape.
func (a *app) printJSON(v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "), jsontext.EscapeForHTML(false))
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	_, err = a.stdout.Write(append(untrusted.EscapeJSON(b), '\n'))
	return wrapOutput(err)
}

// print writes lines for people.
func (a *app) print(text string) error {
	_, err := io.WriteString(a.stdout, text)
	return wrapOutput(err)
}

func wrapOutput(err error) error {
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// printable makes text safe to show on a terminal: what another party wrote
// could otherwise move the cursor, change the title or hide what follows. Line
// ends and tabs stay.
func printable(text string) string {
	safe := func(r rune) bool {
		switch r {
		case '\n', '\t', '\u200c', '\u200d', '\u180e', '\ufe0e', '\ufe0f': // the last five are parts of letters and emoji in names
			return true
		}
		return (unicode.IsPrint(r) || unicode.Is(unicode.Zs, r)) && !untrusted.Invisible(r)
	}
	text = strings.ToValidUTF8(text, "\ufffd")
	if strings.IndexFunc(text, func(r rune) bool { return !safe(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if safe(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
