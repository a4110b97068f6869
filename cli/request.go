package cli

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kubbi-mcp/internal/untrusted"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools"
)

// requestCmd is `kubbi-mcp request`.
type requestCmd struct {
	Message    string   `short:"m" required:"" placeholder:"TEXT" help:"What is wanted and why, for whoever answers. The relay can read it."`
	Field      []string `placeholder:"NAME" help:"Ask for a secret of one line, with a name as a variable's; may be repeated."`
	TextField  []string `placeholder:"NAME" help:"Ask for a secret that may have several lines; may be repeated."`
	PlainField []string `placeholder:"NAME" help:"Ask for a value that is no secret; may be repeated."`
	Files      bool     `help:"Ask for files, instead of fields."`
	TTL        *seconds `name:"ttl" placeholder:"TTL" help:"How long it can be answered, and how long its answer then lives: seconds, or a duration such as 10m or 1d. By default --default-ttl."`
	NotifyURL  string   `name:"notify-url" placeholder:"URL" help:"Have a team's relay post a signed receipt here when the request ends: docs/wire.md."`
	Wait       bool     `help:"Wait until it is answered. Exit with 4 if it ends without an answer."`
	JSON       bool     `name:"json" help:"Print JSON."`
}

// askedJSON is what request prints with --json.
type askedJSON struct {
	RequestURL  string   `json:"request_url"`
	RequestID   string   `json:"request_id"`
	Fingerprint string   `json:"fingerprint"`
	ExpiresAt   api.Time `json:"expires_at"`
	Reach       string   `json:"reach"`
}

// Run asks, and prints what whoever answers needs, and the id with which the answer is used.
func (c *requestCmd) Run(a *app) error {
	p, err := c.params(a)
	if err != nil {
		return err
	}
	return a.withBackend(func(b *backend) error {
		asked, err := tools.Ask(a.ctx, b.client, b.claimer().Handles(), p)
		if err != nil {
			return fmt.Errorf("request: %w", err)
		}
		if c.Wait {
			defer a.servePage(b)() // before the URL is printed
		}
		if c.JSON {
			err = a.printJSON(askedJSON{asked.RequestURL, asked.ID, asked.Fingerprint, asked.ExpiresAt, b.reach()})
		} else {
			err = a.print(details([]row{
				{"url", asked.RequestURL},
				{"id", asked.ID},
				{"fingerprint", asked.Fingerprint},
				{"expires", localTime(asked.ExpiresAt)},
			}))
			a.remark("whoever answers opens the URL, or runs kubbi-mcp answer with it, from %s; both show the same fingerprint", b.reach())
		}
		if err != nil || !c.Wait {
			return err
		}
		return a.awaitAnswer(b, asked.ID)
	})
}

func (c *requestCmd) params(a *app) (kubbi.AskParams, error) {
	p := kubbi.AskParams{Message: c.Message, Files: c.Files, TTL: a.cfg.DefaultTTL.duration()}
	for _, kind := range []struct {
		names []string
		field api.Field
	}{
		{c.Field, api.Field{Secret: true}},
		{c.TextField, api.Field{Secret: true, Lines: true}},
		{c.PlainField, api.Field{}},
	} {
		for _, name := range kind.names {
			kind.field.Name = name
			p.Fields = append(p.Fields, kind.field)
		}
	}
	if (len(p.Fields) == 0) != c.Files {
		return p, usagef("give either fields, as --field STRIPE_KEY, or --files")
	}
	if c.TTL != nil {
		p.TTL = c.TTL.duration()
	}
	if c.NotifyURL != "" {
		p.Notify = &kubbi.Notify{URL: c.NotifyURL}
	}
	return p, nil
}

// waitStep is how long one question for the status waits.
const waitStep = 50 * time.Second

// servePage serves the request's page until stop is called, unless another process serves the
// embedded relay. It returns when the page can be opened.
func (a *app) servePage(b *backend) (stop func()) {
	if !b.embedded {
		return func() {}
	}
	ctx, cancel := context.WithCancel(a.ctx)
	var serving sync.WaitGroup
	serving.Go(func() { a.serveRelay(ctx, b) })
	select {
	case <-b.relay.Settled():
	case <-ctx.Done():
	}
	return func() {
		cancel()
		serving.Wait()
	}
}

// awaitAnswer waits until a request ends.
func (a *app) awaitAnswer(b *backend, id string) error {
	for {
		asked, err := b.client.Asked(a.ctx, id, kubbi.WithWait(waitStep))
		switch {
		case err != nil:
			return fmt.Errorf("request: wait for the answer: %w", err)
		case asked.Status == api.RequestAnswered:
			a.remark("answered; use it with its id, as: kubbi-mcp run --env-from %s -- COMMAND", id)
			return nil
		case asked.Status != api.RequestPending:
			return fmt.Errorf("request: %w: it has ended without an answer, %s", kubbi.ErrGone, untrusted.Label(string(asked.Status), "expired", "withdrawn"))
		}
	}
}
