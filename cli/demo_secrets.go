package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"kubbi-mcp/kubbi/api"
)

// demoSecret is what the person of the demo enters.
const demoSecret = "sk_test_correct-horse-battery-staple"

// secretsDemo is an agent, a person at a shell, and their steps.
type secretsDemo struct {
	*demoPrinter
	agent         *agent
	self          string // this program
	dir, relayURL string
	asked         requestResult
}

// The parts of the tools' answers that the demo uses.
type (
	requestResult struct {
		RequestID   string `json:"request_id"`
		RequestURL  string `json:"request_url"`
		Fingerprint string `json:"fingerprint"`
	}
	askedResult struct {
		Status api.RequestStatus `json:"status"`
	}
)

// demoSecrets lets an agent ask a person for a secret and use it without seeing it.
func demoSecrets(ctx context.Context, s *demoPrinter, dir, relayURL string) (err error) {
	s.title("An agent needs a password. A person types it, a command gets it, and the agent never sees it.",
		"No account, no key, no network: the relay runs inside the agent's MCP server.")
	d := &secretsDemo{demoPrinter: s, dir: dir, relayURL: relayURL}
	if d.self, err = os.Executable(); err != nil {
		return err
	}
	if d.agent, err = startAgent(ctx, "A", dir, relayURL); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.agent.close()) }()
	return s.run(ctx, d.ask, d.answer, d.wait, d.use, d.look)
}

func (d *secretsDemo) ask(ctx context.Context) error {
	err := d.agent.call(ctx, "request", map[string]any{
		"message": "I need the key of the payment service's test account, to run its tests.",
		"fields":  []string{"STRIPE_KEY"}, "ttl_seconds": 600,
	}, &d.asked)
	if err != nil {
		return err
	}
	d.step("A", "asks for STRIPE_KEY, and gets a URL to show to its user:")
	d.show(d.asked.RequestURL, "fingerprint "+d.asked.Fingerprint)
	d.check(strings.Contains(d.asked.RequestURL, api.PathAnswer), "it is the URL of a page; its answer is sealed for this machine alone")
	return nil
}

func (d *secretsDemo) answer(ctx context.Context) error {
	shown, err := d.command(ctx, demoSecret+"\n", "answer", d.asked.RequestURL, "--fingerprint", d.asked.Fingerprint, "--", "STRIPE_KEY=-")
	if err != nil {
		return err
	}
	d.stepOf(purple, "a person", "answers: in a browser on that page, or, as here, in a shell:")
	d.show("$ kubbi-mcp answer "+d.asked.RequestURL, "STRIPE_KEY (not shown; Enter ends it): "+strings.Repeat("*", len(demoSecret)), shown)
	d.check(strings.Contains(shown, d.asked.Fingerprint), "it was sealed for the fingerprint that the agent got")
	_, err = d.command(ctx, "another", "answer", d.asked.RequestURL)
	failed, ok := errors.AsType[commandFailed](err)
	if !ok {
		return errors.Join(err, errors.New("a second answer was taken"))
	}
	d.show("$ kubbi-mcp answer "+d.asked.RequestURL, failed.stderr)
	d.check(true, "a second answer is refused")
	return nil
}

func (d *secretsDemo) wait(ctx context.Context) error {
	var got askedResult
	if err := d.agent.call(ctx, "get", map[string]any{"id": d.asked.RequestID, "wait_seconds": 30}, &got); err != nil {
		return err
	}
	d.step("A", "has waited for it: the request is %s", got.Status)
	d.check(got.Status == api.RequestAnswered, "the agent knows that it is answered")
	_, _, err := d.agent.claim(ctx, map[string]any{"claim_url": d.asked.RequestID})
	r, refused := errors.AsType[refusal](err)
	if err != nil && !refused {
		return err
	}
	d.step("A", "would like to see it, and is refused:")
	d.show(r.text)
	d.check(refused, "a secret does not come into a model's context, and nothing was spent")
	return nil
}

// demoUse gives a command that prints the secret. The one of a Unix shell also compares it
// with its standard input.
func demoUse() []string {
	if runtime.GOOS == "windows" {
		return []string{"cmd", "/c", "echo logged in with %STRIPE_KEY%"}
	}
	return []string{"sh", "-c", `test "$STRIPE_KEY" = "$(cat)" && echo "logged in with $STRIPE_KEY"`}
}

func (d *secretsDemo) use(ctx context.Context) error {
	shown, err := d.command(ctx, demoSecret, "run", append([]string{"--env-from", d.asked.RequestID, "--"}, demoUse()...)...)
	if err != nil {
		return err
	}
	d.step("A", "uses it unseen, in a command of its shell:")
	d.show("$ kubbi-mcp run --env-from "+d.asked.RequestID+` -- sh -c 'echo "logged in with $STRIPE_KEY"'`, shown)
	d.check(strings.TrimSpace(shown) == "logged in with [STRIPE_KEY]", "the command had the value, and its output has the name in its place")
	return nil
}

// look searches for the secret in everything that the agent has seen.
func (d *secretsDemo) look(context.Context) error {
	log, err := os.ReadFile(d.agent.stderr)
	if err != nil {
		return err
	}
	seen := append(log, d.agent.seen.Bytes()...)
	d.step("A", "has seen %s in all, its server's log included; we search them for the secret", size(int64(len(seen))))
	d.check(bytes.Contains(seen, []byte(d.asked.RequestID)) && !bytes.Contains(seen, []byte(demoSecret)), "it is not there")
	return nil
}

// commandFailed is the error of a command that has exited with another code than 0.
type commandFailed struct {
	stderr string
	error
}

func (c commandFailed) Unwrap() error { return c.error }

// command runs a command of this program, as a person or an agent does in a shell.
func (d *secretsDemo) command(ctx context.Context, stdin, name string, args ...string) (stdout string, err error) {
	cmd := demoProgram(ctx, d.self, d.dir, d.relayURL, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return "", commandFailed{strings.TrimSpace(errs.String()), fmt.Errorf("kubbi-mcp %s: %w: %s", name, err, strings.TrimSpace(errs.String()))}
	}
	return strings.TrimSpace(out.String()), nil
}
