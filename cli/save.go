package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
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

// savedAnswer is what `claim -o DIR --json` prints.
type savedAnswer struct {
	Files    []saved  `json:"files"`
	Burned   bool     `json:"burned"`
	Metadata any      `json:"metadata"`
	Expires  api.Time `json:"expires_at"`
}

// save claims into a folder. The relay keeps the payload for the claim's grace
// until every file is on disk, so that a lost answer costs nothing.
func (c *claimCmd) save(a *app, b *backend) error {
	seen, err := b.client.Inspect(a.ctx, c.URL)
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	batch, err := files.Into(c.Output, c.Overwrite)
	if err != nil {
		return usagef("claim: %w; nothing was claimed", err)
	}
	defer batch.Close()
	if err := batch.Check(namesOf(seen), false); err != nil {
		return usagef("claim: %w; nothing was claimed", err)
	}
	claimed, err := b.client.Claim(a.ctx, c.URL, kubbi.HoldGrace())
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	written, err := c.writeAll(a.ctx, batch, &claimed.ClaimResponse)
	if err != nil {
		return fmt.Errorf("claim: %w; no file was written%s", err, afterwards(claimed))
	}
	// The payload is safe. If this does not get through, the grace ends by
	// itself a little later.
	if err := claimed.Release(context.WithoutCancel(a.ctx)); err != nil {
		a.log.Debug("release", "error", err)
	}
	if c.JSON {
		return a.printJSON(savedAnswer{written, claimed.Burned, claimed.Metadata, claimed.ExpiresAt})
	}
	var paths strings.Builder
	for _, f := range written {
		paths.WriteString(printable(f.Path) + "\n")
	}
	if err := a.print(paths.String()); err != nil {
		return err
	}
	a.remark("%s", claimRemark(claimed))
	return nil
}

// namesOf are the names of the files that a claim will write.
func namesOf(seen *kubbi.Inspected) []string {
	if seen.Type != api.TypePackage {
		return []string{files.SingleName(seen.ContentType)}
	}
	names := make([]string, len(seen.Files))
	for i, f := range seen.Files {
		names[i] = f.Name
	}
	return names
}

// writeAll writes every file, or none.
func (c *claimCmd) writeAll(ctx context.Context, batch *files.Batch, r *api.ClaimResponse) ([]saved, error) {
	var out []saved
	add := func(name, contentType string, role *string, data []byte) error {
		out = append(out, saved{Name: name, ContentType: contentType, Role: role})
		return batch.Stage(ctx, name, bytes.NewReader(data))
	}
	if r.Type != api.TypePackage {
		data, err := contentBytes(r)
		if err != nil {
			return nil, err
		}
		if err := add(files.SingleName(r.ContentType), r.ContentType, nil, data); err != nil {
			return nil, err
		}
	}
	for i := range r.Files {
		f := &r.Files[i]
		data, err := fileBytes(f)
		if err != nil {
			return nil, err
		}
		if err := add(f.Name, f.ContentType, f.Role, data); err != nil {
			return nil, err
		}
	}
	done, err := batch.Commit()
	if err != nil {
		return nil, err
	}
	for i, f := range done {
		out[i].Path, out[i].SizeBytes, out[i].SHA256 = f.Path, f.Size, f.SHA256
	}
	return out, nil
}
