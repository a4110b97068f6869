package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// saved is a file that was written.
type saved struct {
	Name        string  `json:"name"`
	Path        string  `json:"path"`
	ContentType string  `json:"content_type"`
	SizeBytes   int     `json:"size_bytes"`
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
	if err := os.MkdirAll(c.Output, 0o700); err != nil {
		return usagef("claim: %w; nothing was claimed", err)
	}
	root, err := os.OpenRoot(c.Output)
	if err != nil {
		return usagef("claim: %w; nothing was claimed", err)
	}
	defer root.Close()
	if err := c.rehearse(root, seen); err != nil {
		return usagef("claim: %w; nothing was claimed", err)
	}
	claimed, err := b.client.Claim(a.ctx, c.URL, kubbi.HoldGrace())
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	files, err := c.writeAll(root, &claimed.ClaimResponse)
	if err != nil {
		return fmt.Errorf("claim: %w; %s", err, afterFailure(claimed, files))
	}
	// The payload is safe. If this does not get through, the grace ends by
	// itself a little later.
	if err := claimed.Release(context.WithoutCancel(a.ctx)); err != nil {
		a.log.Debug("release", "error", err)
	}
	if c.JSON {
		return a.printJSON(savedAnswer{files, claimed.Burned, claimed.Metadata, claimed.ExpiresAt})
	}
	var paths strings.Builder
	for _, f := range files {
		paths.WriteString(printable(f.Path) + "\n")
	}
	if err := a.print(paths.String()); err != nil {
		return err
	}
	a.remark("%s", claimRemark(claimed))
	return nil
}

// rehearse finds out whether the files can be written, before a retrieval is
// spent on them.
func (c *claimCmd) rehearse(root *os.Root, seen *kubbi.Inspected) error {
	names := []string{singleName(seen.ContentType)}
	if seen.Type == api.TypePackage {
		names = names[:0]
		for _, f := range seen.Files {
			names = append(names, f.Name)
		}
	}
	for _, name := range names {
		if err := safeName(name); err != nil {
			return err
		}
		if info, err := root.Lstat(name); err == nil {
			if info.IsDir() {
				return fmt.Errorf("%s is a folder", filepath.Join(c.Output, name))
			}
			if !c.Overwrite {
				return fmt.Errorf("%s is there already; --overwrite replaces it", filepath.Join(c.Output, name))
			}
		}
	}
	temp := tempName()
	if err := writeTemp(root, temp, nil); err != nil {
		return err
	}
	return root.Remove(temp)
}

// writeAll writes every file, and says which ones it wrote before an error.
func (c *claimCmd) writeAll(root *os.Root, r *api.ClaimResponse) ([]saved, error) {
	var files []saved
	add := func(name, contentType string, role *string, data []byte) error {
		if err := writeFile(root, name, data, c.Overwrite); err != nil {
			return err
		}
		files = append(files, saved{name, filepath.Join(c.Output, name), contentType, len(data), role})
		return nil
	}
	if r.Type != api.TypePackage {
		data, err := contentBytes(r)
		if err != nil {
			return nil, err
		}
		if err := add(singleName(r.ContentType), r.ContentType, nil, data); err != nil {
			return nil, err
		}
	}
	for i := range r.Files {
		f := &r.Files[i]
		data, err := fileBytes(f)
		if err != nil {
			return files, err
		}
		if err := add(f.Name, f.ContentType, f.Role, data); err != nil {
			return files, err
		}
	}
	return files, syncDir(root)
}

// afterFailure says what is left of a claim whose files could not be written.
func afterFailure(c *kubbi.Claimed, files []saved) string {
	written := "no file was written"
	if len(files) > 0 {
		written = count(len(files), "file") + " had been written"
	}
	return written + afterwards(c)
}

// singleName is the file name of a single content.
func singleName(contentType string) string {
	switch contentType {
	case api.TypeJSON:
		return "content.json"
	case api.TypeMarkdown:
		return "content.md"
	case api.TypeCSV:
		return "content.csv"
	default:
		return "content.txt"
	}
}

// safeName refuses a name that is more than a name. A relay checks them, but
// this one may not be ours; os.Root is the second wall.
func safeName(name string) error {
	if name == "" || len(name) > 255 || name == "." || !filepath.IsLocal(name) || strings.ContainsAny(name, "/\\:\x00") {
		return fmt.Errorf("refusing the file name %q", name)
	}
	return nil
}

func tempName() string { return ".kubbi-" + rand.Text() + ".tmp" }

// writeFile writes data under a name, whole or not at all: into a temporary
// file first, synced, then renamed. Without overwrite a file that is there
// stays, however late it appeared.
func writeFile(root *os.Root, name string, data []byte, overwrite bool) error {
	if err := safeName(name); err != nil {
		return err
	}
	temp := tempName()
	if err := writeTemp(root, temp, data); err != nil {
		return err
	}
	if overwrite {
		if err := root.Rename(temp, name); err != nil {
			return errors.Join(err, root.Remove(temp))
		}
		return nil
	}
	// A rename would replace what is there; a link does not.
	err := root.Link(temp, name)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = renameNew(root, temp, name)
		if err == nil {
			return nil
		}
	}
	return errors.Join(err, root.Remove(temp))
}

// renameNew is for file systems without hard links: it looks first, which
// leaves a moment in which another process could make the file.
func renameNew(root *os.Root, temp, name string) error {
	if _, err := root.Lstat(name); err == nil {
		return &fs.PathError{Op: "write", Path: name, Err: fs.ErrExist}
	}
	return root.Rename(temp, name)
}

// writeTemp writes and syncs a new file that only its owner may read, and
// leaves none behind when it fails.
func writeTemp(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return errors.Join(err, root.Remove(name))
	}
	return nil
}

// syncDir makes the names last. Windows has no such call for a folder.
func syncDir(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
