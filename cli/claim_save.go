package cli

import (
	"strings"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

// saved is a file that was written.
type saved struct {
	Name        string  `json:"name"`
	Path        string  `json:"path"`
	ContentType string  `json:"content_type"`
	SizeBytes   int64   `json:"size_bytes"`
	SHA256      string  `json:"sha256"`
	Role        *string `json:"role"`
}

// savedAnswer is what `claim -o FILE --json` prints.
type savedAnswer struct {
	Files    []saved  `json:"files"`
	Burned   bool     `json:"burned"`
	Metadata any      `json:"metadata"`
	Expires  api.Time `json:"expires_at"`
}

// save claims into a file or a folder, as files.NewBatchAt says. It finds files that are there
// already, and paths that can't be written, before a retrieval is spent.
func (c *claimCmd) save(a *app, claimer *claims.Claimer, url string) error {
	bar := a.startBar("received")
	got, written, err := claimer.Save(a.ctx, claims.Request{URL: url, Repeat: claims.RepeatAny, Progress: bar.progress}, func() (*files.Batch, error) {
		b, err := files.NewBatchAt(c.Output, c.Overwrite)
		if err == nil && !a.cfg.AllowHidden {
			b.Guard("Give --allow-hidden to write it, or, if it is one file, -o with a path for it")
		}
		return b, err
	})
	bar.end()
	if err != nil {
		return claimFailed(err)
	}
	if c.JSON {
		out := savedAnswer{Burned: got.Burned, Metadata: got.Metadata, Expires: got.ExpiresAt}
		for i, f := range written {
			p := got.Parts[i]
			out.Files = append(out.Files, saved{Name: f.Name, Path: f.Path, ContentType: p.ContentType, SizeBytes: f.Size, SHA256: f.SHA256, Role: p.Role})
		}
		return a.printJSON(out)
	}
	var paths strings.Builder
	for _, f := range written {
		paths.WriteString(printable(f.Path) + "\n")
	}
	if err := a.print(paths.String()); err != nil {
		return err
	}
	a.remark("%s", claimRemark(got))
	return nil
}
