package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// maxInput is the most that is read from standard input, in bytes: it has to
// stand in memory.
const maxInput = 64 << 20

// sendCmd is `kubbi-mcp send`.
type sendCmd struct {
	Args          []string `arg:"" optional:"" name:"file" help:"The files to send: one text file as a single content; a binary one, or several, as a package. - reads standard input, as does a pipe. One argument that is no file is a text to send."`
	Text          *string  `short:"t" placeholder:"TEXT" help:"Send this text, also where a file has that name."`
	File          []string `short:"f" sep:"none" placeholder:"FILE" help:"Send this file, which must be there; may be repeated."`
	Package       bool     `help:"Send files as a package, even a single text file."`
	Type          string   `placeholder:"TYPE" enum:",text/plain,application/json,text/markdown,text/csv" default:"" help:"Content type of a single content: text/plain, application/json, text/markdown or text/csv. By default from the file's name, else text/plain."`
	TTL           *seconds `name:"ttl" placeholder:"TTL" help:"How long it lives: seconds, or a duration such as 10m. By default --default-ttl."`
	MaxRetrievals *int     `placeholder:"N" help:"How often it can be claimed; 1 for secrets. By default as often as asked until it expires."`
	Metadata      string   `placeholder:"JSON" help:"A JSON object that anyone with the claim URL may read without claiming."`
	NotifyURL     string   `name:"notify-url" placeholder:"URL" help:"Have a team's relay post signed receipts here: docs/webhooks.md."`
	NotifyEvents  []string `name:"notify-events" placeholder:"EVENT" enum:"claimed,burned,expired,deleted" help:"Of these events only: claimed, burned, expired, deleted; several with commas between."`
	JSON          bool     `name:"json" help:"Print the whole answer as JSON."`
}

// Run creates a kubbi and prints its claim URL, alone, on stdout.
func (c *sendCmd) Run(a *app) error {
	common, err := c.common(a)
	if err != nil {
		return err
	}
	post, err := c.read(a, common)
	if err != nil {
		return err
	}
	b, err := a.connect()
	if err != nil {
		return err
	}
	bar := a.startBar("sent")
	sent, err := post(a.ctx, b.client, bar.progress)
	bar.end()
	if err != nil {
		return closing(b, fmt.Errorf("send: %w", err))
	}
	if c.JSON {
		err = a.printJSON(struct {
			*kubbi.Sent
			Reach string `json:"reach"`
		}{sent, b.reach()})
	} else {
		err = a.print(printable(sent.ClaimURL) + "\n")
		a.remark("%s", sentRemark(sent))
		a.remark("it can be claimed from %s", b.reach())
	}
	return closing(b, err)
}

// sentRemark says in a line what was sent.
func sentRemark(s *kubbi.Sent) string {
	what := s.ContentType
	if s.FileCount != nil && s.TotalSizeBytes != nil {
		what = fmt.Sprintf("%s, %s", count(*s.FileCount, "file"), size(*s.TotalSizeBytes))
	}
	return fmt.Sprintf("%s; %s; expires %s; id %s", what, retrievals(s.MaxRetrievals, 0), localTime(s.ExpiresAt), s.ID)
}

// common reads the flags that both kinds of kubbi share.
func (c *sendCmd) common(a *app) (kubbi.SendParams, error) {
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
	var err error
	p.Notify, err = c.notify()
	return p, err
}

// notify is who is to be told of what happens to the kubbi.
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

// posting creates the kubbi that was read.
type posting func(context.Context, *kubbi.Client, kubbi.Progress) (*kubbi.Sent, error)

// read takes the content from where the arguments say it is.
func (c *sendCmd) read(a *app, p kubbi.SendParams) (posting, error) {
	if err := c.sort(); err != nil {
		return nil, err
	}
	switch {
	case len(c.File) > 0 && c.Text != nil:
		return nil, usagef("give either a text or files, not both")
	case len(c.File) == 0 && c.Package:
		return nil, usagef("--package needs a file")
	case len(c.File) == 0:
		text, err := c.text(a)
		if err != nil {
			return nil, err
		}
		return single(p, text, c.Type)
	}
	inputs, err := a.openFiles(c.File)
	if err != nil {
		return nil, err
	}
	if len(inputs) == 1 && !c.Package && inputs[0].text {
		source := inputs[0].source()
		if source.ContentType = c.Type; c.Type == "" {
			source.ContentType = inputs[0].singleType()
		}
		source.Name, p.ContentType, p.Source = "", source.ContentType, &source
		if c.Type == "" {
			for _, change := range inputs[0].changes("") {
				a.log.Warn(change)
			}
		}
		return sending(p), nil
	}
	if c.Type != "" {
		return nil, usagef("--type is for a single text; the files of a package have types of their own")
	}
	sources, err := packageSources(inputs)
	if err != nil {
		return nil, err
	}
	params := kubbi.SendFilesParams{Sources: sources, TTL: p.TTL, MaxRetrievals: p.MaxRetrievals, Metadata: p.Metadata, Sealed: p.Sealed, Notify: p.Notify}
	return func(ctx context.Context, k *kubbi.Client, progress kubbi.Progress) (*kubbi.Sent, error) {
		params.Progress = progress
		return a.sendPackage(ctx, k, params, inputs)
	}, nil
}

// sort finds out what the arguments are: files, or one text.
func (c *sendCmd) sort() error {
	if len(c.Args) == 1 && len(c.File) == 0 && c.Text == nil && !looksLikeFile(c.Args[0]) {
		c.Text = &c.Args[0]
		return nil
	}
	for _, arg := range c.Args {
		if !looksLikeFile(arg) && arg != "-" {
			return usagef("%q is no file; a text is sent alone, or with --text", arg)
		}
	}
	c.File = append(c.File, c.Args...)
	return nil
}

// looksLikeFile tells whether an argument is a file that is there, or written as
// only a path is.
func looksLikeFile(arg string) bool {
	for _, start := range []string{"/", "./", "../", "~/"} {
		if strings.HasPrefix(arg, start) {
			return true
		}
	}
	_, err := os.Stat(arg)
	return err == nil
}

// text is the argument, or standard input where there is none and nobody types
// there.
func (c *sendCmd) text(a *app) ([]byte, error) {
	if c.Text != nil && (*c.Text != "-" || len(c.Args) == 0) {
		return []byte(*c.Text), nil
	}
	if c.Text == nil && isTerminal(a.stdin) {
		return nil, usagef("nothing to send: give a file, a text, or - for standard input")
	}
	data, err := a.readStdin()
	if err == nil && c.Text == nil && len(data) == 0 {
		return nil, usagef("nothing to send: standard input is empty; give - to send that")
	}
	return data, err
}

// single is a content as it goes to the client: JSON as the value that was
// written, all else as a string.
func single(p kubbi.SendParams, data []byte, contentType string) (posting, error) {
	if contentType == "" {
		contentType = api.TypeText
	}
	p.ContentType = contentType
	if contentType == api.TypeJSON {
		v := jsontext.Value(bytes.TrimSpace(data))
		if !v.IsValid() {
			return nil, usagef("the content is not valid JSON; send it with --type text/plain if it is not meant to be")
		}
		p.Content = v
	} else {
		if !utf8.Valid(data) {
			return nil, usagef("the content is not UTF-8 text; send it with --file as a package")
		}
		p.Content = string(data)
	}
	return sending(p), nil
}

func sending(p kubbi.SendParams) posting {
	return func(ctx context.Context, k *kubbi.Client, progress kubbi.Progress) (*kubbi.Sent, error) {
		p.Progress = progress
		return k.Send(ctx, p)
	}
}

// readStdin reads standard input to its end, or until the context ends. A read
// of a terminal or a pipe can't be called off, so it is left behind then, for
// the end of the process to end it.
func (a *app) readStdin() ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := readAll(a.stdin, "standard input")
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-a.ctx.Done():
		return nil, fmt.Errorf("read standard input: %w", a.ctx.Err())
	}
}

// readAll reads no more than maxInput.
func readAll(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxInput {
		return nil, usagef("%s is larger than %s", name, size(maxInput))
	}
	return data, nil
}

// closing closes b after a command that ended with err, which matters more.
func closing(b *backend, err error) error {
	if cerr := b.Close(); err == nil && cerr != nil {
		return fmt.Errorf("close: %w", cerr)
	}
	return err
}

// retrievals says how often something may still be claimed.
func retrievals(limit *int, used int) string {
	if limit == nil {
		return "any number of retrievals"
	}
	return count(max(*limit-used, 0), "retrieval") + " left"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// size shows a number of bytes to people.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return count(int(n), "byte")
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
}

// localTime shows a time in the reader's zone.
func localTime(t api.Time) string { return t.In(time.Local).Format("2006-01-02 15:04:05 MST") }
