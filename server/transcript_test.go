package server

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts plays what a client sends in each testdata/*.txtar to a real
// server over a real relay, and compares what the server answers.
//
// The head of a file says what it is about, and may set options, one a line:
//
//	option: raw       (no handshake is played first)
//	option: no key    (the client has no API key)
//	option: down      (nothing listens at the base URL)
//	option: prefix P  (tools are named with the prefix P)
//	option: folder    (files may be sent and saved by path, in ${folder})
//
// The other files of the archive are in that folder. A line "show P" in "in" shows what
// is at P in the folder: the content of a file or the names in a folder.
//
// In the file "in", a line that starts with # is a comment, one that starts with
// "advance" moves the relay's clock; every other line is sent as it is, with
// ${claim_url}, ${request_url} and ${id} replaced by the last such value in an answer, ${x*N} by
// N letters, ${base64:HEX} by bytes. An answer is awaited after each line, unless
// it is a notification.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(ar.Files) == 0 || ar.Files[0].Name != "in" {
				t.Fatal(`the first file must be "in"`)
			}
			last := len(ar.Files) - 1
			var want *txtar.File
			if ar.Files[last].Name == "out" {
				want, ar.Files = &ar.Files[last], ar.Files[:last]
			}
			got := play(t, ar)
			if *update {
				ar.Files = append(ar.Files, txtar.File{Name: "out", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want == nil {
				t.Fatal(`no file "out"; make it with go test ./server -run TestTranscripts -update`)
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("the server answers otherwise (-want +got); if that is meant, run with -update\n%s", diff)
			}
		})
	}
}

// play sends the lines of "in" and gives the answers, made comparable.
func play(t *testing.T, ar *txtar.Archive) string {
	head, in := string(ar.Comment), string(ar.Files[0].Data)
	vars := map[string]string{}
	relay := relaytest.New(t)
	relay.Clock.Advance(0)
	var log syncBuffer
	cfg := Config{Version: "test", Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	key, base, raw := relay.APIKey, relay.URL, false
	for line := range strings.Lines(head) {
		option, ok := strings.CutPrefix(strings.TrimSpace(line), "option: ")
		if !ok {
			continue
		}
		switch prefix, isPrefix := strings.CutPrefix(option, "prefix "); {
		case option == "raw":
			raw = true
		case option == "no key":
			key = ""
		case option == "down":
			base = unusedOrigin(t)
		case option == "folder":
			vars["folder"] = newFolder(t, ar.Files[1:])
			allowed, err := files.NewFolder(vars["folder"])
			if err != nil {
				t.Fatal(err)
			}
			cfg.Files.Folders = []files.Folder{allowed}
			cfg.State = claims.NewState(t.TempDir())
		case isPrefix:
			cfg.ToolPrefix = prefix
		default:
			t.Fatalf("unknown option %q", option)
		}
	}
	client, err := kubbi.NewClient(key, kubbi.WithBaseURL(base), kubbi.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	cfg.Client = client
	s := newPeer(t, cfg)
	if !raw {
		s.handshake(t)
	}
	var out strings.Builder
	for line := range strings.Lines(in) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if d, ok := strings.CutPrefix(line, "advance "); ok {
			step, err := time.ParseDuration(d)
			if err != nil {
				t.Fatal(err)
			}
			relay.Clock.Advance(step)
			continue
		}
		if path, ok := strings.CutPrefix(line, "show "); ok {
			out.WriteString(shown(t, path, filepath.Join(vars["folder"], path)))
			continue
		}
		if values, ok := strings.CutPrefix(line, "answer "); ok {
			answer(t, client, vars["request_url"], values)
			continue
		}
		s.send(t, expand(t, line, vars))
		if isNotification(line) {
			continue
		}
		answer := s.receive(t)
		remember(answer, vars)
		if vars["folder"] != "" {
			answer = withoutFolder(answer, vars["folder"])
		}
		answer = refusedOnWindows.ReplaceAll(answer, []byte("connect: connection refused"))
		out.WriteString(comparable(t, answer, relay.URL, base))
	}
	s.hangUp(t)
	if log.String() != "" { // for instance, a result does not match its output schema
		t.Errorf("logged: %s", log.String())
	}
	return out.String()
}

// answer answers a request.
func answer(t *testing.T, client *kubbi.Client, requestURL, values string) {
	t.Helper()
	var p kubbi.AnswerParams
	if err := json.Unmarshal([]byte(values), &p.Values); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Answer(t.Context(), requestURL, p); err != nil {
		t.Fatal(err)
	}
}

// newFolder makes a folder with an archive's files in it.
func newFolder(t *testing.T, all []txtar.File) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shown gives a file's content, or the names in a folder.
func shown(t *testing.T, name, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s: %q\n\n", name, b)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return fmt.Sprintf("%s: %s\n\n", name, strings.Join(names, " "))
}

func isNotification(line string) bool {
	var m struct {
		Method string
		ID     json.RawMessage
	}
	return json.Unmarshal([]byte(line), &m) == nil && m.Method != "" && m.ID == nil
}

var (
	placeholder = regexp.MustCompile(`\$\{[^}]*\}`)
	repeat      = regexp.MustCompile(`^(.)\*(\d+)$`)
	claimURL    = regexp.MustCompile(`"claim_url":"([^"]+)"`)
	requestURL  = regexp.MustCompile(`"request_url":"([^"]+)"`)
	kubbiID     = regexp.MustCompile(`"(?:request_)?id":"([0-9a-f-]{36})"`)
)

func expand(t *testing.T, line string, vars map[string]string) string {
	return placeholder.ReplaceAllStringFunc(line, func(p string) string {
		name := p[2 : len(p)-1]
		if m := repeat.FindStringSubmatch(name); m != nil {
			n, _ := strconv.Atoi(m[2])
			return strings.Repeat(m[1], n)
		}
		v, ok := vars[name]
		if !ok {
			t.Fatalf("nothing to put for %s", p)
		}
		if name == "folder" {
			v = filepath.ToSlash(v) // a backslash means something else in JSON
		}
		return v
	})
}

var (
	refusedOnWindows = regexp.MustCompile(`connectex: (No connection could be made because the target machine actively refused it|Connection refused)`)
	afterFolder      = regexp.MustCompile(`<folder>(\\{2,}[^"\\\s]+)+`)
	backslashes      = regexp.MustCompile(`\\+`)
)

// withoutFolder puts <folder> in the place of a folder's path, and what is in it
// under the names of Unix. An answer may hold JSON in a text in JSON, and each
// doubles the backslashes of Windows.
func withoutFolder(answer []byte, folder string) []byte {
	for times := 8; times > 0; times /= 2 {
		path := strings.ReplaceAll(folder, `\`, strings.Repeat(`\`, times))
		answer = bytes.ReplaceAll(answer, []byte(path), []byte("<folder>"))
	}
	answer = bytes.ReplaceAll(answer, []byte(" names no drive, and"), nil) // what /tmp is on Windows
	return afterFolder.ReplaceAllFunc(answer, func(b []byte) []byte { return backslashes.ReplaceAll(b, []byte("/")) })
}

func remember(answer []byte, vars map[string]string) {
	if m := claimURL.FindSubmatch(answer); m != nil {
		vars["claim_url"] = string(m[1])
		token, key, _ := bytes.Cut(m[1][bytes.LastIndexByte(m[1], '/')+1:], []byte("#k="))
		vars["token"], vars["key"] = string(token), string(key)
	}
	if m := requestURL.FindSubmatch(answer); m != nil {
		vars["request_url"] = string(m[1])
	}
	if m := kubbiID.FindSubmatch(answer); m != nil {
		vars["id"] = string(m[1])
	}
}

var volatile = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`/r/[A-Za-z0-9_-]{43}`), "/r/<token>"},
	{regexp.MustCompile(`/q/[A-Za-z0-9_-]{43}#p=[A-Za-z0-9_-]{43}`), "/q/<token>#p=<key>"},
	{regexp.MustCompile(`\b[A-Z2-7]{4}(-[A-Z2-7]{4}){3}\b`), "<fingerprint>"},
	{regexp.MustCompile(`#k=[A-Za-z0-9_-]{43}`), "#k=<key>"},
	{regexp.MustCompile(`(kid\\*":\\*")[A-Za-z0-9_-]+`), "${1}<kid>"},
	{regexp.MustCompile(`(key\\*":\\*")[A-Za-z0-9_-]{107}`), "${1}<wrapped key>"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<id>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`), "<time>"},
	{regexp.MustCompile(`x{1000,}`), "<many x>"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "<number>"},
	{regexp.MustCompile(`within \d+ seconds`), "within <a few> seconds"},
}

// comparable makes an answer the same in every run: volatile values replaced,
// members sorted, indented.
func comparable(t *testing.T, answer []byte, origins ...string) string {
	text := string(answer)
	for _, o := range origins {
		text = strings.ReplaceAll(text, o, "<origin>")
		text = strings.ReplaceAll(text, strings.TrimPrefix(o, "http://"), "<host>")
	}
	for _, v := range volatile {
		text = v.find.ReplaceAllString(text, v.put)
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		t.Fatalf("the server wrote something that is not JSON: %v: %.200s", err, answer)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s\n", b.String())
}
