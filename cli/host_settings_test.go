package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// Every setting of every command may be blank or a placeholder, in the environment or
// on the command line. It then counts as not given.
func TestUnfilledSettings(t *testing.T) {
	model := commandModel(t)
	blanks := []string{"", "  ", "\n", `""`, "''", "${}", "${NAME}", "${env:NAME}", "${input:api key}", "${user_config.dir}", "${NAME:-some default}", " \"${NAME}\"\n"}
	for name, flag := range everySetting(t) {
		for _, blank := range blanks {
			h := &hostSettings{getenv: func(asked string) string {
				if asked == name {
					return blank
				}
				return ""
			}}
			if v, err := h.environment().Resolve(nil, nil, flag); v != nil || err != nil {
				t.Errorf("%s=%q: %v, %v", name, blank, v, err)
			}
			if got := slices.Contains(h.unfilled, name); got != strings.Contains(blank, "$") {
				t.Errorf("%s=%q: told of: %v", name, blank, h.unfilled)
			}
		}
		for _, args := range [][]string{{"--" + flag.Name + "=${user_config.x}"}, {"--" + flag.Name, "${user_config.x}"}} {
			if flag.IsBool() && len(args) == 2 {
				continue // such a flag takes no second word
			}
			h := &hostSettings{}
			got, err := h.arguments(model, slices.Concat([]string{"serve"}, args, []string{"--log-level=info"}))
			if err != nil || !slices.Equal(got, []string{"serve", "--log-level=info"}) || len(h.unfilled) != 1 {
				t.Errorf("%v: %q, %v", args, got, err)
			}
		}
	}
}

// A placeholder inside other text is an error that names the setting and does not quote
// its value.
func TestPlaceholderAmidText(t *testing.T) {
	for name, flag := range everySetting(t) {
		for _, value := range []string{"sec-${NAME}", "${NAME}sec", "${A}${B}"} {
			h := &hostSettings{getenv: func(string) string { return value }}
			_, err := h.environment().Resolve(nil, nil, flag)
			meant := slices.Contains(mayHoldPlaceholders, name)
			if (err == nil) != meant {
				t.Errorf("%s=%q: %v", name, value, err)
			}
			if err != nil && (!strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "sec")) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct{ args, want []string }{
		{nil, []string{}},
		{[]string{"send", "${X}"}, []string{"send", "${X}"}},
		{[]string{"send", "--", "--data-dir", "${X}"}, []string{"send", "--", "--data-dir", "${X}"}},
		{[]string{"--data-dir", "${X}", "send", "a"}, []string{"send", "a"}},
		{[]string{"--data-dir=", "--api-key", ""}, []string{"--data-dir=", "--api-key", ""}}, // meant so: it overrides the variable
		{[]string{"--max-inline", "", "--log-format="}, []string{}},
		{[]string{"--sealed", "${X}"}, []string{"--sealed", "${X}"}},
		{[]string{"--sealed=${X}", "--sealed"}, []string{"--sealed"}},
		{[]string{"--allow-dir", "", "--allow-dir", "a,b"}, []string{"--allow-dir", "a,b"}},
		{[]string{"--allow-dir=${A},/b, ${C}", "--allow-dir", "${A},${B}"}, []string{"--allow-dir=/b"}},
		{[]string{"--data-dir"}, []string{"--data-dir"}},
		{[]string{"--data-dir", "--sealed"}, []string{"--data-dir", "--sealed"}}, // kong tells that the value is missing
		{[]string{"--unknown=${X}"}, []string{"--unknown=${X}"}},
	} {
		got, err := (&hostSettings{}).arguments(commandModel(t), tt.args)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q: %v", tt.args, got, tt.want, err)
		}
	}
}

func TestHostLists(t *testing.T) {
	for value, want := range map[string][]string{
		"/a,/b":               {"/a", "/b"},
		" /a , ${X},, /b ,":   {"/a", "/b"},
		`"/a b","/c"`:         {"/a b", "/c"},
		`"/a,/b"`:             {"/a", "/b"},
		"/a\n/b\n":            {"/a", "/b"},
		"${user_config.dirs}": nil,
	} {
		h := &hostSettings{getenv: func(string) string { return value }}
		if got := h.list("X"); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
	for _, tt := range []struct {
		goos, list string
		want       []string
	}{
		{"linux", `/a\,b,/c`, []string{"/a,b", "/c"}},
		{"windows", `C:\a\,D:\b`, []string{`C:\a\`, `D:\b`}},
		{"windows", `\\server\share,D:\`, []string{`\\server\share`, `D:\`}},
	} {
		if got := splitList(tt.goos, tt.list); !slices.Equal(got, tt.want) {
			t.Errorf("%s %s: %q", tt.goos, tt.list, got)
		}
	}
}

func TestUnquote(t *testing.T) {
	for in, want := range map[string]string{
		`"a b"`: "a b", "'a'": "a", `""`: "", `"`: `"`, `"a`: `"a`, `"a'`: `"a'`, `"a","b"`: `"a","b"`, `{"a":"b"}`: `{"a":"b"}`, "it's": "it's",
	} {
		if got := unquote(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// A placeholder is logged once, whether it was noted before or after the log was set.
func TestUnfilledIsLogged(t *testing.T) {
	var log bytes.Buffer
	h := &hostSettings{getenv: func(string) string { return "${SECRET:-kb_x}" }}
	_ = h.get("A")
	h.logTo(slog.New(slog.NewTextHandler(&log, nil)))
	_, _ = h.get("A"), h.get("B")
	if text := log.String(); strings.Count(text, "setting=A") != 1 || strings.Count(text, "setting=B") != 1 || strings.Contains(text, "kb_x") {
		t.Error(text)
	}
}

// A command line with placeholders for all values runs as without them.
func TestUnfilledCommandLine(t *testing.T) {
	env := map[string]string{"KUBBI_DATA_DIR": t.TempDir(), "KUBBI_API_KEY": "${KUBBI_API_KEY}", "KUBBI_MCP_TOKEN": "${TOKEN}"}
	out, err := runIn(t, env, "--relay-url=${user_config.relay}", "--default-ttl", "${user_config.ttl}", "--sealed=${user_config.sealed}", "list")
	if err != nil || !strings.Contains(out, "KUBBI_API_KEY") {
		t.Errorf("%v\n%s", err, out)
	}
	// Words after serve are folders; those of other commands are content.
	h := &hostSettings{}
	for _, words := range [][2]string{
		{"--sealed|serve|a,b|${user_config.folders}||C|--|D", `--sealed|serve|--allow-dir=a\,b|--allow-dir=C|--|D`},
		{"send|serve|${X}", "send|serve|${X}"},
	} {
		got, err := h.arguments(commandModel(t), strings.Split(words[0], "|"))
		if want := strings.Split(words[1], "|"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %q", got, err, want)
		}
	}
	if _, err := runIn(t, env, "--data-dir", "${HOME}/x", "list"); ExitCode(err) != exitUsage || errors.Unwrap(err) == nil {
		t.Errorf("error %v", err)
	}
}
