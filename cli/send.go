package cli

import (
	"fmt"
	"math"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// sendCmd is `kubbi-mcp send`.
type sendCmd struct {
	Args          []string `arg:"" optional:"" name:"file" complete:"file" help:"The files and folders to send: one text file as a single content; a binary one, a folder, or several, as a package. - reads standard input, as does a pipe. One argument that does not look like a file is a text to send. Without any, a terminal is asked for a text that it does not show."`
	Text          *string  `short:"t" placeholder:"TEXT" help:"Send this text, also where it looks like a file."`
	File          []string `short:"f" sep:"none" placeholder:"FILE" complete:"file" help:"Send this file or folder, which must be there; may be repeated."`
	Name          string   `placeholder:"NAME" help:"Send standard input, or the one file or text, as a package of one file of this name."`
	Package       bool     `help:"Send files as a package, even a single text file."`
	Type          string   `placeholder:"TYPE" enum:",text/plain,application/json,text/markdown,text/csv" default:"" help:"Content type of a single content: text/plain, application/json, text/markdown or text/csv. By default from the file's name, else text/plain."`
	TTL           *seconds `name:"ttl" placeholder:"TTL" help:"How long it lives: seconds, or a duration such as 10m or 1d. By default --default-ttl."`
	MaxRetrievals *int     `placeholder:"N" help:"How often it can be claimed; 1 for secrets. By default as often as asked until it expires."`
	Metadata      string   `placeholder:"JSON" help:"A JSON object that anyone with the claim URL may read without claiming."`
	To            []string `sep:"none" placeholder:"KEY" help:"Seal it so that only the owner of this public key, kbp_..., can open it; may be repeated. kubbi-mcp identity prints a machine's key."`
	NotifyURL     string   `name:"notify-url" placeholder:"URL" help:"Have a team's relay post signed receipts here: docs/wire.md."`
	NotifyEvents  []string `name:"notify-events" placeholder:"EVENT" enum:"claimed,burned,expired,deleted" help:"Of these events only: claimed, burned, expired, deleted; several with commas between."`
	Handle        bool     `help:"Keep the claim URL in the data directory and print the id alone, which claim, inspect and run take."`
	JSON          bool     `name:"json" help:"Print the whole answer as JSON."`
}

// Run creates a kubbi and prints its claim URL, alone, on stdout.
func (c *sendCmd) Run(a *app) error {
	params, err := c.params(a)
	if err != nil {
		return err
	}
	send, err := c.read(a, params)
	if err != nil {
		return err
	}
	return a.withBackend(func(b *backend) error {
		bar := a.startBar("sent")
		sent, err := send(a.ctx, b.client, bar.progress)
		bar.end()
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		line, reach := sent.ClaimURL, b.reach()
		if c.Handle {
			if err := b.keepSent(a.ctx, sent); err != nil {
				return err
			}
			line, reach = sent.ID, "this machine, with its id"
			sent.ClaimURL, sent.ClaimToken = "", ""
		}
		if c.JSON {
			return a.printJSON(struct {
				*kubbi.Sent
				ClaimURL   string `json:"claim_url,omitzero"`
				ClaimToken string `json:"claim_token,omitzero"`
				Reach      string `json:"reach"`
			}{sent, sent.ClaimURL, sent.ClaimToken, reach})
		}
		if err = a.print(printable(line) + "\n"); err != nil {
			return fmt.Errorf("%w; it was sent, and without its URL nobody can claim it: kubbi-mcp delete %s ends it", err, sent.ID)
		}
		a.remark("%s", sentRemark(sent))
		a.remark("it can be claimed from %s", reach)
		for _, r := range params.To {
			a.remark("only its recipients can open it: compare the fingerprint %s with theirs", r.Fingerprint())
		}
		return err
	})
}

// sentRemark says in a line what was sent.
func sentRemark(s *kubbi.Sent) string {
	what := typeText(s.ContentType)
	if s.FileCount != nil && s.TotalSizeBytes != nil {
		what = fmt.Sprintf("%s, %s", count(*s.FileCount, "file"), size(*s.TotalSizeBytes))
	}
	return fmt.Sprintf("%s; %s; expires %s; id %s", what, retrievals(s.MaxRetrievals, 0), localTime(s.ExpiresAt), s.ID)
}

// params reads the flags that a single content and a package have.
func (c *sendCmd) params(a *app) (kubbi.SendParams, error) {
	p := kubbi.SendParams{TTL: a.cfg.DefaultTTL.duration(), Sealed: a.cfg.Sealed}
	if c.TTL != nil {
		p.TTL = c.TTL.duration()
	}
	if c.MaxRetrievals != nil {
		if *c.MaxRetrievals < 1 || *c.MaxRetrievals > math.MaxInt32 {
			return p, usagef("--max-retrievals must be at least 1")
		}
		p.MaxRetrievals = *c.MaxRetrievals
	}
	if c.Metadata != "" {
		v := jsontext.Value(c.Metadata)
		if !v.IsValid() || v.Kind() != '{' {
			return p, usagef("--metadata must be a JSON object, as {\"from\":\"build 7\"}")
		}
		p.Metadata = v
	}
	for _, key := range c.To {
		r, err := kubbi.ParseRecipient(key)
		if err != nil {
			return p, usagef("--to: %w", err)
		}
		p.To = append(p.To, r)
	}
	var err error
	p.Notify, err = c.notify()
	return p, err
}

// notify says where receipts go, and for which events.
func (c *sendCmd) notify() (*kubbi.Notify, error) {
	if c.NotifyURL == "" {
		if len(c.NotifyEvents) > 0 {
			return nil, usagef("--notify-events needs --notify-url")
		}
		return nil, nil
	}
	n := &kubbi.Notify{URL: c.NotifyURL}
	for _, e := range c.NotifyEvents {
		n.Events = append(n.Events, api.Event(e))
	}
	return n, nil
}
