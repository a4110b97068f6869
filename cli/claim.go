package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

// claimCmd is `kubbi-mcp claim`.
type claimCmd struct {
	URL       []string `arg:"" name:"url" help:"The claim URL, its token, a text with the claim URL in it, or an id that stands for one."`
	Output    string   `short:"o" placeholder:"PATH" complete:"file" help:"Write here. A folder that is there, or a path that ends with /, gets the files in it; any other path becomes the file, or a new folder if there are several, or one and no dot in the path's last name. - is standard output."`
	Overwrite bool     `aliases:"force" help:"With -o, replace files that are there already; --force is the same."`
	JSON      bool     `name:"json" help:"Print the whole answer as JSON; with -o, what was written."`
}

// stdoutName is the path that stands for standard output.
const stdoutName = "-"

// Run claims, and prints the content or writes files. It finds what would make it fail
// before a retrieval is spent.
func (c *claimCmd) Run(a *app) error {
	if c.Overwrite && (c.Output == "" || c.Output == stdoutName) {
		return usagef("--overwrite needs -o with a file or a folder")
	}
	return a.withBackend(func(b *backend) error {
		claimer := b.claimer()
		url := strings.Join(c.URL, " ")
		if c.Output != "" && c.Output != stdoutName {
			return c.save(a, claimer, url)
		}
		_, h, err := claimer.Resolve(a.ctx, url)
		switch {
		case err != nil:
			return claimFailed(err)
		case h != nil && h.HasSecret() && !isTerminal(a.stdout): // an agent reads what its commands print
			return usagef("this holds secrets, and standard output is no terminal: use them with %s, or give -o PATH if you want a file of secrets; nothing was claimed", h.Use())
		}
		return c.print(a, claimer, url)
	})
}

// print claims and writes the content to stdout.
func (c *claimCmd) print(a *app, claimer *claims.Claimer, url string) error {
	got, err := claimer.Pass(a.ctx, claims.Request{URL: url, Repeat: claims.RepeatAny}, func(seen *kubbi.Inspected) error { return c.fitsStdout(a, seen) },
		func(got *kubbi.Claimed) error { return c.pass(a, got) })
	if err != nil {
		return claimFailed(err)
	}
	if !c.JSON {
		a.remark("%s", claimRemark(got))
	}
	return nil
}

// pass writes a claimed payload to stdout.
func (c *claimCmd) pass(a *app, got *kubbi.Claimed) error {
	if c.JSON {
		whole := *got // what got has in a file may be needed again
		if err := whole.Load(); err != nil {
			return err
		}
		return a.printJSON(whole.ClaimResponse)
	}
	// The service may answer the claim with something else than it showed before.
	if len(got.Parts) != 1 || got.Type == api.TypePackage && c.Output == "" {
		return errors.New("this is a package of files: give -o with a folder")
	}
	content, err := got.Parts[0].Open()
	if err != nil {
		return err
	}
	if !isTerminal(a.stdout) {
		_, err := io.Copy(a.stdout, content)
		return wrapOutput(err)
	}
	whole, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	text := printable(string(whole))
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return a.print(text)
}

// claimFailed adds to the error of a claim what can be claimed now.
func claimFailed(err error) error {
	_, counted := errors.AsType[*claims.Unsaved](err)
	if _, refused := errors.AsType[files.Refusal](err); refused && !counted {
		return usagef("claim: %w; nothing was claimed", err)
	}
	if isUsage(err) && !counted {
		return err
	}
	if e, ok := errors.AsType[*kubbi.Error](err); ok && e.Uncertain && !errors.Is(err, kubbi.ErrGone) {
		return fmt.Errorf("claim: %w; claim it again within a minute, which counts once", err)
	}
	return fmt.Errorf("claim: %w", err)
}

// fitsStdout refuses what standard output can't take: a package of files, unless it
// holds one file, -o - asks for it, and stdout is not a terminal.
func (c *claimCmd) fitsStdout(a *app, seen *kubbi.Inspected) error {
	switch {
	case seen.Type != api.TypePackage, c.JSON, seen.SealedText():
		return nil // only the claim shows how many texts are sealed
	case seen.Sealed() && c.Output == "":
		return usagef("this is sealed and not all text: give -o PATH to write it, or --json; nothing was claimed")
	case c.Output == "":
		return usagef("this is a package of files: give -o PATH to write them, or --json; nothing was claimed")
	case seen.FileCount == nil || *seen.FileCount != 1:
		return usagef("this is a package of several files, which standard output can't take: give -o with a folder; nothing was claimed")
	case isTerminal(a.stdout):
		return usagef("this is a file, and standard output is a terminal: give -o with a path, or redirect it; nothing was claimed")
	}
	return nil
}

// claimRemark says what can still be claimed.
func claimRemark(c *kubbi.Claimed) string {
	switch {
	case c.Burned:
		return "burned: that was the last retrieval"
	case !c.RemainingKnown:
		return "claimed"
	case c.Remaining == nil:
		return "can be claimed until it expires " + localTime(c.ExpiresAt)
	default:
		return count(*c.Remaining, "retrieval") + " left; expires " + localTime(c.ExpiresAt)
	}
}
