package cli

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// claimCmd is `kubbi-mcp claim`.
type claimCmd struct {
	URL       []string `arg:"" name:"url" help:"The claim URL, its token, or a text with the claim URL in it."`
	Output    string   `short:"o" placeholder:"PATH" complete:"file" help:"Write here. A folder that is there, or a path that ends with /, gets the files in it; any other path becomes the file, or a new folder if there are several. - is standard output."`
	Overwrite bool     `aliases:"force" help:"With -o, replace files that are there already; --force is the same."`
	JSON      bool     `name:"json" help:"Print the whole answer as JSON; with -o, what was written."`
}

// stdoutName is the path that stands for standard output.
const stdoutName = "-"

// Run claims and prints, or writes. What would make it fail afterwards is
// looked for first, while no retrieval is spent.
func (c *claimCmd) Run(a *app) error {
	if c.Overwrite && (c.Output == "" || c.Output == stdoutName) {
		return usagef("--overwrite needs -o with a file or a folder")
	}
	b, err := a.connect()
	if err != nil {
		return err
	}
	url := strings.Join(c.URL, " ")
	if c.Output != "" && c.Output != stdoutName {
		return closing(b, c.save(a, b, url))
	}
	return closing(b, c.show(a, b, url))
}

// show claims onto stdout.
func (c *claimCmd) show(a *app, b *backend, url string) error {
	var opts []kubbi.ClaimOption
	if !c.JSON {
		// Files have no place on stdout, and the retrieval may be the only one.
		seen, err := b.client.Inspect(a.ctx, url)
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		opts = append(opts, kubbi.WithInspected(seen))
		if err := c.fitsStdout(a, seen); err != nil {
			return err
		}
	}
	claimed, err := b.client.Claim(a.ctx, url, opts...)
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	if c.JSON {
		return unshown(claimed, a.printJSON(claimed.ClaimResponse))
	}
	content, err := contentBytes(&claimed.ClaimResponse)
	if err != nil {
		return unshown(claimed, err)
	}
	if isTerminal(a.stdout) {
		text := printable(string(content))
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		content = []byte(text)
	}
	if _, err := a.stdout.Write(content); err != nil {
		return unshown(claimed, wrapOutput(err))
	}
	a.remark("%s", claimRemark(claimed))
	return nil
}

// fitsStdout refuses a package of files, unless it is one file for which standard
// output was asked, and nobody sees that as it is.
func (c *claimCmd) fitsStdout(a *app, seen *kubbi.Inspected) error {
	switch {
	case seen.Type != api.TypePackage:
		return nil
	case c.Output == "":
		return usagef("this is a package of files: give -o PATH to write them, or --json; nothing was claimed")
	case seen.FileCount == nil || *seen.FileCount != 1:
		return usagef("this is a package of several files, which standard output can't take: give -o with a folder; nothing was claimed")
	case isTerminal(a.stdout):
		return usagef("this is a file, and standard output is a terminal: give -o with a path, or redirect it; nothing was claimed")
	}
	return nil
}

// unshown adds to an error that comes after the claim what is left of it.
func unshown(c *kubbi.Claimed, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("claim: %w; it was not shown whole%s", err, afterwards(c))
}

// afterwards says what is left of a claim that has counted in vain, as the end
// of a sentence.
func afterwards(c *kubbi.Claimed) string {
	switch {
	case c.Burned:
		return ", and that was the last retrieval: ask the sender to send it again"
	case c.RemainingKnown && c.Remaining == nil:
		return "; it can be claimed again until it expires"
	case c.RemainingKnown:
		return fmt.Sprintf("; it can be claimed again (%s left)", count(*c.Remaining, "retrieval"))
	default:
		return "; inspect tells whether it can be claimed again"
	}
}

// contentBytes is a single content, or the one file of a package, as its producer
// gave it: a text without quotes, JSON as JSON.
func contentBytes(r *api.ClaimResponse) ([]byte, error) {
	if len(r.Files) > 0 {
		return fileBytes(r.Files)
	}
	content := jsontext.Value(r.Content)
	if r.ContentType == api.TypeJSON || content.Kind() != '"' {
		return bytes.TrimSpace(content), nil
	}
	var text string
	if err := json.Unmarshal(content, &text); err != nil {
		return nil, fmt.Errorf("the content is not a JSON string")
	}
	return []byte(text), nil
}

func fileBytes(all []api.ClaimedFile) ([]byte, error) {
	switch f := all[0]; {
	case len(all) > 1:
		return nil, errors.New("there are more files than were announced")
	case f.Encoding == api.EncodingBase64:
		data, err := base64.StdEncoding.DecodeString(f.Content)
		if err != nil {
			return nil, errors.New("the file is not valid base64")
		}
		return data, nil
	default:
		return []byte(f.Content), nil
	}
}

// claimRemark says what the claim left behind.
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
