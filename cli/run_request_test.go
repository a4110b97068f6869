package cli

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// TestRunWithAnswer gives a command the answers to requests. What does not fit is refused
// before anything is spent.
func TestRunWithAnswer(t *testing.T) {
	a := newAsker(t)
	two := []api.Field{{Name: "STRIPE_KEY", Secret: true}, {Name: "STRIPE_URL"}}
	values := kubbi.AnswerParams{Values: map[string]string{"STRIPE_KEY": "sk_live_canary", "STRIPE_URL": "https://stripe.example"}}
	r := a.ask(kubbi.AskParams{Fields: two})
	want := func(wantCode int, wantOut string, args ...string) {
		t.Helper()
		if out, code := a.run(args...); code != wantCode || !strings.Contains(out, wantOut) || strings.Contains(out, "sk_live_canary") || strings.Contains(out, r.ClaimURL) {
			t.Errorf("%q: exit code %d, %q; want %d, %q", args, code, out, wantCode, wantOut)
		}
	}
	printenv := []string{"--", "sh", "-c", `test "$STRIPE_KEY" = sk_live_canary && echo "$STRIPE_KEY at $STRIPE_URL"`}
	want(3, "no answer yet", append([]string{"run", "--env-from", r.ID}, printenv...)...)
	a.answer(r, values)
	want(2, "standard output is no terminal", "claim", r.ID)
	want(2, "the answer has 2 fields: use --env-from", "run", "--env", "X="+r.ID, "--", "true")
	want(2, "the answer has 2 fields: use --env-from", "run", "--file", "x="+r.ID, "--", "true")
	if seen, err := a.client.Inspect(t.Context(), r.ClaimURL); err != nil || seen.RetrievalCount != 0 {
		t.Errorf("spent: %v, %v", seen, err)
	}
	want(0, "[STRIPE_KEY] at [STRIPE_URL]", append([]string{"run", "--env-from", r.ID}, printenv...)...)
	want(3, "no claim URL is kept", append([]string{"run", "--env-from", r.ID}, printenv...)...)

	// Nor is a variable's value printed where an agent reads it.
	sent, err := a.client.Send(t.Context(), kubbi.SendParams{Content: "sk_live_canary"})
	if err == nil {
		err = handles.New(a.env["KUBBI_DATA_DIR"], "").Put(t.Context(), handles.Handle{
			ID: sent.ID, Kind: handles.Send, ClaimURL: sent.ClaimURL, Variable: "TOKEN", ExpiresAt: sent.ExpiresAt.Time,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	want(2, "kubbi-mcp run --env TOKEN="+sent.ID+" -- command", "claim", sent.ID)

	// A single field is the value itself.
	r = a.ask(kubbi.AskParams{Fields: two[:1]})
	a.answer(r, kubbi.AnswerParams{Values: map[string]string{"STRIPE_KEY": "sk_live_canary"}})
	want(0, "both [P]  [P]", "run", "--env", "P="+r.ID, "--file", "k="+r.ID, "--", "sh", "-c", `test "$P" = sk_live_canary && echo "both $P $(echo; cat "$KUBBI_FILES/k")" | tr '\n' ' '`)

	// The asker's names don't decide which code runs, and a request for files gives no variables.
	r = a.ask(kubbi.AskParams{Fields: []api.Field{{Name: "LD_PRELOAD"}}})
	a.answer(r, kubbi.AnswerParams{Values: map[string]string{"LD_PRELOAD": "/tmp/x.so"}})
	want(2, "LD_PRELOAD may decide which code runs", "run", "--env-from", r.ID, "--", "true")
	r = a.ask(kubbi.AskParams{Files: true})
	a.answer(r, kubbi.AnswerParams{Sources: []kubbi.Source{{Name: "key.pem", ContentType: "text/plain", Size: 10, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("-----BEGIN")), nil }}}})
	want(2, "use --file", "run", "--env-from", r.ID, "--", "true")
	want(0, "[key.pem]", "run", "--file", "key.pem="+r.ID, "--", "sh", "-c", `cat "$KUBBI_FILES/key.pem"`)
}

// TestAnswerMustFit checks that an answer with other fields than its request is not used, and
// not lost.
func TestAnswerMustFit(t *testing.T) {
	for name, fields := range map[string][]api.Field{"lacks the field B": {{Name: "A"}, {Name: "B"}}, "more fields": {{Name: "A"}}} {
		a := newAsker(t)
		sent, err := a.client.Send(t.Context(), kubbi.SendParams{Content: map[string]string{"A": "one", "C": "two"}, MaxRetrievals: 1})
		if err != nil {
			t.Fatal(err)
		}
		store := handles.New(a.env["KUBBI_DATA_DIR"], "")
		h := handles.Handle{ID: sent.ID, Kind: handles.Request, ClaimURL: sent.ClaimURL, Fields: fields, ExpiresAt: time.Now().Add(time.Hour)}
		if err := store.Put(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if out, code := a.run("run", "--env-from", sent.ID, "--", "true"); code != 1 || !strings.Contains(out, name) || !strings.Contains(out, "not lost") {
			t.Errorf("%d, %s", code, out)
		}
		if _, err := store.Get(t.Context(), sent.ID); errors.Is(err, handles.ErrNotFound) {
			t.Error("the handle is forgotten")
		}
	}
}
