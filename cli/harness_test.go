package cli

import (
	"bytes"
	"io"
	"kubbi-mcp/internal/handles"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// runIn runs a command line in an environment, and gives all that it prints.
func runIn(t *testing.T, env map[string]string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Run(t.Context(), args, func(name string) string { return env[name] }, strings.NewReader(""), &out, &out)
	return out.String(), err
}

// asker asks through a relay and keeps handles of requests in a data directory.
type asker struct {
	t      *testing.T
	client *kubbi.Client
	env    map[string]string
}

func newAsker(t *testing.T) *asker {
	rl := relaytest.New(t)
	client, err := kubbi.NewClient(rl.APIKey, kubbi.WithBaseURL(rl.URL), kubbi.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return &asker{t: t, client: client, env: map[string]string{"KUBBI_BASE_URL": rl.URL, "KUBBI_API_KEY": rl.APIKey, "KUBBI_DATA_DIR": t.TempDir()}}
}

// ask makes a request and keeps its handle.
func (a *asker) ask(p kubbi.AskParams) *kubbi.Request {
	a.t.Helper()
	p.Message = "for a test"
	r, err := a.client.Ask(a.t.Context(), p)
	if err == nil {
		err = handles.New(a.env["KUBBI_DATA_DIR"], "").Put(a.t.Context(), handles.Handle{
			ID: r.ID, Kind: handles.Request, ClaimURL: r.ClaimURL, AnswerID: r.AnswerID, Message: p.Message, Fields: p.Fields, Files: p.Files,
			ExpiresAt: time.Now().Add(time.Hour),
		})
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return r
}

func (a *asker) answer(r *kubbi.Request, p kubbi.AnswerParams) {
	a.t.Helper()
	if _, err := a.client.Answer(a.t.Context(), r.RequestURL, p); err != nil {
		a.t.Fatal(err)
	}
}

// run runs a command line, and gives its output and exit code.
func (a *asker) run(args ...string) (out string, code int) {
	a.t.Helper()
	out, err := runIn(a.t, a.env, args...)
	if err != nil {
		out += Message(err)
	}
	return out, ExitCode(err)
}

// commandModel is kong's model of the command line.
func commandModel(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(&grammar{}, kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// everySetting gives the flag of each variable that the program reads.
func everySetting(t *testing.T) map[string]*kong.Flag {
	t.Helper()
	all := map[string]*kong.Flag{}
	_ = kong.Visit(commandModel(t), func(node kong.Visitable, next kong.Next) error {
		if f, ok := node.(*kong.Flag); ok && f.Tag.Get("variable") != "" {
			all[f.Tag.Get("variable")] = f
		}
		return next(nil)
	})
	if len(all) < 40 {
		t.Fatalf("%d settings", len(all))
	}
	return all
}
