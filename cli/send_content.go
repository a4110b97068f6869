package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/term"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// maxInput is the largest standard input, in bytes. It is kept in memory.
const maxInput = 64 << 20

// sendFunc creates a kubbi from content that was read.
type sendFunc func(context.Context, *kubbi.Client, kubbi.Progress) (*kubbi.Sent, error)

// read reads the content that the arguments name.
func (c *sendCmd) read(a *app, p kubbi.SendParams) (sendFunc, error) {
	if err := c.sortArguments(); err != nil {
		return nil, err
	}
	switch {
	case len(c.File) > 0 && c.Text != nil:
		return nil, usagef("give either a text or files, not both")
	case len(c.File) == 0 && c.Package:
		return nil, usagef("--package needs a file")
	}
	// A package can't have every name that a file can have.
	if safe := filename.Safe(filepath.Base(c.Name)); c.Name != "" && safe != c.Name {
		return nil, usagef("--name %q is no name that every system can save; %q would do", c.Name, safe)
	}
	inputs, err := c.inputs(a)
	if err != nil {
		return nil, err
	}
	if len(inputs) == 1 && inputs[0].single() && !c.Package && c.Name == "" {
		return c.readSingle(a, p, inputs[0])
	}
	if c.Type != "" {
		return nil, usagef("--type is for a single text; the files of a package have types of their own")
	}
	sources, err := packageSources(inputs)
	if err != nil {
		return nil, err
	}
	params := kubbi.SendFilesParams{Sources: sources, TTL: p.TTL, MaxRetrievals: p.MaxRetrievals, Metadata: p.Metadata, Sealed: p.Sealed, To: p.To, Notify: p.Notify}
	return func(ctx context.Context, k *kubbi.Client, progress kubbi.Progress) (*kubbi.Sent, error) {
		params.Progress = progress
		return a.sendPackage(ctx, k, params, inputs)
	}, nil
}

// readSingle sends one text: JSON as the value that was written, other text as a string.
func (c *sendCmd) readSingle(a *app, p kubbi.SendParams, f input) (sendFunc, error) {
	if p.ContentType = c.Type; c.Type == "" {
		p.ContentType = f.singleType()
		if p.ContentType != files.SingleType(f.name) {
			a.warn(f.changes(""))
		}
	}
	switch {
	case f.data == nil:
		source := f.source()
		source.Name, source.ContentType, p.Source = "", p.ContentType, &source
	case p.ContentType == api.TypeJSON:
		v := jsontext.Value(bytes.TrimSpace(f.data))
		if !v.IsValid() {
			return nil, usagef("the content is not valid JSON; send it with --type text/plain if it is not meant to be")
		}
		p.Content = v
	case !utf8.Valid(f.data):
		return nil, usagef("the text is not UTF-8")
	default:
		p.Content = string(f.data)
	}
	return func(ctx context.Context, k *kubbi.Client, progress kubbi.Progress) (*kubbi.Sent, error) {
		p.Progress = progress
		return k.Send(ctx, p)
	}, nil
}

// sendPackage sends files under names that the service takes, and logs which names and
// types it has changed.
func (a *app) sendPackage(ctx context.Context, k *kubbi.Client, p kubbi.SendFilesParams, inputs []input) (*kubbi.Sent, error) {
	if !p.Sealed && len(p.To) == 0 { // the service does not see sealed names
		names := make([]string, len(p.Sources))
		for i, s := range p.Sources {
			names[i] = s.Name
		}
		names, err := k.FileNames(ctx, names)
		if err != nil {
			return nil, err
		}
		for i := range p.Sources {
			p.Sources[i].Name = names[i]
		}
	}
	sent, err := k.SendFiles(ctx, p)
	if err != nil {
		return nil, err
	}
	for i, f := range inputs {
		a.warn(f.changes(p.Sources[i].Name))
	}
	return sent, nil
}

func (a *app) warn(messages []string) {
	for _, m := range messages {
		a.log.Warn(m)
	}
}

// inputs opens what is sent: the text, the files, or standard input.
func (c *sendCmd) inputs(a *app) ([]input, error) {
	switch {
	case c.Text != nil:
		return oneInput(dataInput(c.Name, []byte(*c.Text)))
	case len(c.File) > 0:
		inputs, err := a.openFiles(c.File, c.Name)
		if err == nil && c.Name != "" && len(inputs) > 1 && !hasPiped(inputs) {
			err = usagef("--name is for one file, and these are %d", len(inputs))
		}
		return inputs, err
	}
	if f, ok := a.stdin.(*os.File); ok && isTerminal(f) {
		if !term.IsTerminal(int(f.Fd())) { // a terminal of Cygwin can't hide what is typed
			return nil, usagef("nothing to send: give a file, a text, or - for standard input")
		}
		text, err := a.prompt(f, promptText, false)
		if err != nil {
			return nil, err
		}
		return oneInput(dataInput(c.Name, text))
	}
	data, err := a.readStdin()
	if err == nil && len(data) == 0 {
		return nil, usagef("nothing to send: standard input is empty; give - to send that")
	}
	if err != nil {
		return nil, err
	}
	return oneInput(stdinInput(c.Name, data))
}

func oneInput(f input, err error) ([]input, error) { return []input{f}, err }

// readStdin reads standard input to its end, or until the context ends.
func (a *app) readStdin() ([]byte, error) {
	data, err := interruptible(a.ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.stdin, maxInput+1)) })
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(data) > maxInput {
		return nil, usagef("standard input is larger than %s", size(maxInput))
	}
	return data, nil
}

// interruptible waits for a read, or until ctx ends. A read of a terminal or a pipe can't be
// cancelled: it then ends with the process.
func interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
