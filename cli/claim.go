package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// claimCmd is `kubbi-mcp claim`.
type claimCmd struct {
	URL       string `arg:"" name:"url" help:"The claim URL, or its token."`
	Output    string `short:"o" placeholder:"DIR" help:"Write the files, or the single content, into this folder; it is made if it is not there."`
	Overwrite bool   `help:"With -o, replace files that are there already."`
	JSON      bool   `name:"json" help:"Print the whole answer as JSON; with -o, what was written."`
}

// Run claims and prints, or writes. What would make it fail afterwards is
// looked for first, while no retrieval is spent.
func (c *claimCmd) Run(a *app) error {
	if c.Overwrite && c.Output == "" {
		return usagef("--overwrite needs -o")
	}
	b, err := a.connect()
	if err != nil {
		return err
	}
	if c.Output != "" {
		return closing(b, c.save(a, b))
	}
	return closing(b, c.show(a, b))
}

// show claims onto stdout.
func (c *claimCmd) show(a *app, b *backend) error {
	var opts []kubbi.ClaimOption
	if !c.JSON {
		// Files have no place on stdout, and the retrieval may be the only one.
		seen, err := b.client.Inspect(a.ctx, c.URL)
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		opts = append(opts, kubbi.WithInspected(seen))
		if seen.Type == api.TypePackage {
			return usagef("this is a package of files: give -o DIR to write them, or --json; nothing was claimed")
		}
	}
	claimed, err := b.client.Claim(a.ctx, c.URL, opts...)
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

// contentBytes is a single content as its producer gave it: a text without
// quotes, JSON as JSON.
func contentBytes(r *api.ClaimResponse) ([]byte, error) {
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
