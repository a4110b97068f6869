package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/term"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// maxInput is the most that is read from standard input, in bytes: it has to
// stand in memory.
const maxInput = 64 << 20

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
	case c.Name != "":
		if err := checkName(c.Name); err != nil {
			return nil, err
		}
	}
	inputs, err := c.inputs(a)
	if err != nil {
		return nil, err
	}
	if len(inputs) == 1 && inputs[0].single() && !c.Package && c.Name == "" {
		return c.single(a, p, inputs[0])
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

// checkName refuses a name for a file that a package can't have, and gives one
// that would do.
func checkName(name string) error {
	if would := filename.Safe(filepath.Base(name)); would != name {
		return usagef("--name %q is no name that every system can save; %q would do", name, would)
	}
	return nil
}

// sort finds out what the arguments are: files and folders, or one text.
func (c *sendCmd) sort() error {
	for _, arg := range c.Args {
		if arg == "-" || isThere(arg) {
			continue
		}
		sure := looksLikePath(arg)
		switch {
		case sure && len(c.Args) > 1:
			return usagef("%q: no such file or folder", arg)
		case sure && !maybeSecret(arg):
			return usagef("%q: no such file or folder; to send it as text, use --text or standard input", arg)
		case sure:
			return usagef("the argument looks like the name of a file, and there is no such file or folder; to send it as text, use --text or standard input")
		case len(c.Args) > 1 || len(c.File) > 0 || c.Text != nil:
			return usagef("%q is no file; a text is sent alone, or with --text", arg)
		}
		c.Text = &c.Args[0]
		return nil
	}
	c.File = append(c.File, c.Args...)
	return nil
}

// isThere reports whether an argument is the name of something that is there,
// though it may not be readable, or a link that leads nowhere.
func isThere(arg string) bool {
	_, err := os.Lstat(arg)
	return err == nil || errors.Is(err, fs.ErrPermission)
}

// pathStarts are how only a path begins.
var pathStarts = []string{"/", "./", "../", "~/"}

// fileEnding is how the name of a file ends, and a number does not: with up to
// ten letters and digits after a dot, a letter among them.
var fileEnding = regexp.MustCompile(`\.[0-9]{0,2}[A-Za-z][0-9A-Za-z]{0,9}$`)

// looksLikePath reports whether an argument is written as a path or the name of
// a file: so that a slip in a name does not become a text that is sent.
func looksLikePath(arg string) bool {
	const maxPath, maxName = 4096, 255
	if len(arg) > maxPath || strings.ContainsFunc(arg, unicode.IsControl) || strings.Contains(arg, "://") {
		return false
	}
	for _, start := range pathStarts {
		if strings.HasPrefix(arg, start) {
			return true
		}
	}
	// White space is for sentences, the others for markup and JSON; Windows
	// takes none of the latter in a name.
	if strings.ContainsFunc(arg, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`{}<>"|`, r) }) {
		return false
	}
	name := arg[strings.LastIndexFunc(arg, isSeparator)+1:]
	if len(name) > maxName {
		return false
	}
	return name != arg || fileEnding.MatchString(name)
}

func isSeparator(r rune) bool { return r == '/' || r == filepath.Separator }

// maybeSecret reports whether an argument that looks like a path may be a secret
// after all, as base64 with a slash in it: no error repeats that.
func maybeSecret(arg string) bool {
	for _, start := range pathStarts {
		if strings.HasPrefix(arg, start) {
			return false
		}
	}
	return !fileEnding.MatchString(arg)
}

// inputs are what is sent: the text, the files, or standard input.
func (c *sendCmd) inputs(a *app) ([]input, error) {
	switch {
	case c.Text != nil:
		return c.one(dataInput(c.Name, []byte(*c.Text)))
	case len(c.File) > 0:
		inputs, err := a.openFiles(c.File, c.Name)
		if err != nil || c.Name == "" {
			return inputs, err
		}
		switch {
		case len(inputs) == 1:
			return c.one(inputs[0], nil)
		case !hasPiped(inputs):
			return nil, usagef("--name is for one file, and these are %d", len(inputs))
		}
		return inputs, nil
	}
	if f, ok := a.stdin.(*os.File); ok && isTerminal(f) {
		if !term.IsTerminal(int(f.Fd())) { // one of Cygwin's, which can't hide what is typed
			return nil, usagef("nothing to send: give a file, a text, or - for standard input")
		}
		text, err := a.prompt(f)
		if err != nil {
			return nil, err
		}
		return c.one(dataInput(c.Name, text))
	}
	data, err := a.readStdin()
	if err == nil && len(data) == 0 {
		return nil, usagef("nothing to send: standard input is empty; give - to send that")
	}
	if err != nil {
		return nil, err
	}
	return c.one(stdinInput(c.Name, data))
}

// one is a single input, under the name that --name gives.
func (c *sendCmd) one(f input, err error) ([]input, error) {
	if c.Name != "" && err == nil && f.name != c.Name {
		f.name = c.Name
		err = f.look()
	}
	return []input{f}, err
}

// single sends one text: JSON as the value that was written, all else as a
// string.
func (c *sendCmd) single(a *app, p kubbi.SendParams, f input) (posting, error) {
	if p.ContentType = c.Type; c.Type == "" {
		p.ContentType = f.singleType()
		if p.ContentType != files.SingleType(f.name) {
			for _, change := range f.changes("") {
				a.log.Warn(change)
			}
		}
	}
	if f.data == nil {
		source := f.source()
		source.Name, source.ContentType, p.Source = "", p.ContentType, &source
		return sending(p), nil
	}
	if p.ContentType != api.TypeJSON {
		if !utf8.Valid(f.data) {
			return nil, usagef("the text is not UTF-8")
		}
		p.Content = string(f.data)
		return sending(p), nil
	}
	v := jsontext.Value(bytes.TrimSpace(f.data))
	if !v.IsValid() {
		return nil, usagef("the content is not valid JSON; send it with --type text/plain if it is not meant to be")
	}
	p.Content = v
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
