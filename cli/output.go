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

// logger makes the logger. By default a server logs at info, a command at warn.
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

// isTerminal reports whether w is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// colour reports whether w takes colour; see no-color.org.
func (a *app) colour(w io.Writer) bool {
	return isTerminal(w) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

// remark writes to stderr if it is a terminal: something for a person, not output.
func (a *app) remark(format string, args ...any) {
	if isTerminal(a.stderr) {
		fmt.Fprintf(a.stderr, "%s\n", printable(fmt.Sprintf(format, args...)))
	}
}

// printJSON writes v as indented JSON and a line end. A list without entries is [], also if it
// is nil. Invisible characters are escaped.
func (a *app) printJSON(v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "), jsontext.EscapeForHTML(false))
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	_, err = a.stdout.Write(append(untrusted.EscapeJSON(b), '\n'))
	return wrapOutput(err)
}

// print writes text to stdout.
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

// printable makes text from another party safe for a terminal: control characters could
// move the cursor, change the title or hide text. Line ends and tabs stay.
func printable(text string) string {
	safe := func(r rune) bool {
		// Joiners and the two selectors are parts of letters and emoji in names.
		if untrusted.IsJoiner(r) || r == '\n' || r == '\t' || r == '\ufe0e' || r == '\ufe0f' {
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
