package tools

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// unsaved says that a claim has counted and its payload could not be saved, and
// where that is now.
type unsaved struct {
	err   error
	grace time.Duration // for how long the relay gives it to the same claim; 0: not at all
	spool string        // the answer of a service that does not; "": there is none
}

func (u *unsaved) Error() string { return "save what was claimed: " + u.err.Error() }

func (u *unsaved) Unwrap() error { return u.err }

// explain words it for the model.
func (u *unsaved) explain() string {
	text := "The payload was claimed and could not be saved: " + sentence(u.err.Error())
	switch {
	case u.grace > 0:
		return text + fmt.Sprintf(" It is not lost: the relay keeps it for %d seconds. Mend this, or choose another folder, and claim again with the same claim_url; it counts once.", int(u.grace.Seconds()))
	case u.spool != "":
		return text + fmt.Sprintf(" It is not lost: the service's answer, JSON with the payload in it, is in %q for a day; tell your user.", u.spool)
	}
	return text
}

// toFolder claims into a folder. The key is held until every file is there.
func (t *toolset) toFolder(ctx context.Context, in claimInput, key *heldKey, seen *kubbi.Inspected) (*mcp.CallToolResult, error) {
	batch, err := t.rules(ctx).Into(in.SaveTo, in.Overwrite)
	if err != nil {
		key.unused()
		return nil, err
	}
	defer batch.Close()
	if err := batch.Check(namesOf(seen), key.again()); err != nil {
		key.unused()
		return nil, err
	}
	got, spool, err := t.spooled(ctx, in.ClaimURL, key, seen)
	if err != nil {
		return nil, err
	}
	defer spool.close()
	return t.saved(ctx, in.ClaimURL, key, got, spool, batch)
}

// saved writes a payload that is in its spool.
func (t *toolset) saved(ctx context.Context, claimURL string, key *heldKey, got *kubbi.Spooled, spool *spoolFile, batch *files.Batch) (*mcp.CallToolResult, error) {
	written, err := writeParts(ctx, batch, got)
	if err != nil {
		return nil, t.notSaved(err, key, got, spool)
	}
	got.ReleaseSoon(ctx)
	key.drop()
	return t.savedResult(ctx, claimURL, got, written)
}

// namesOf are the names that are written, as far as they are known before the
// claim: those in a sealed package are not.
func namesOf(seen *kubbi.Inspected) []string {
	switch {
	case seen == nil:
		return nil
	case seen.Type != api.TypePackage && kubbi.IsSealed(seen):
		return nil
	case seen.Type != api.TypePackage:
		return []string{files.SingleName(seen.ContentType)}
	case kubbi.IsSealed(seen):
		return nil
	}
	names := make([]string, len(seen.Files))
	for i, f := range seen.Files {
		names[i] = f.Name
	}
	return names
}

// spoolFile is a file that an answer is in until it is saved.
type spoolFile struct {
	*os.File
	kept bool
}

func (s *spoolFile) close() {
	s.File.Close()
	if !s.kept {
		os.Remove(s.Name())
	}
}

// spooled claims into a spool file.
func (t *toolset) spooled(ctx context.Context, claimURL string, key *heldKey, seen *kubbi.Inspected) (*kubbi.Spooled, *spoolFile, error) {
	f, err := t.spool()
	if err != nil {
		key.unused()
		return nil, nil, err
	}
	spool := &spoolFile{File: f}
	got, err := t.Client.ClaimSpooled(ctx, claimURL, f, claimOptions(ctx, key, seen)...)
	if err != nil {
		key.failed(err)
		spool.close()
		return nil, nil, err
	}
	return got, spool, nil
}

func (t *toolset) spool() (*os.File, error) {
	if t.State == nil {
		return nil, files.Refusal("this server has no data directory to receive it in")
	}
	f, err := t.State.spool()
	if err != nil {
		t.Logger.Error("make a spool file", "error", err)
		return nil, files.Refusal("the data directory can't be written: tell your user")
	}
	return f, nil
}

func claimOptions(ctx context.Context, key *heldKey, seen *kubbi.Inspected) []kubbi.ClaimOption {
	opts := []kubbi.ClaimOption{kubbi.WithKey(key.Key), kubbi.HoldGrace(), kubbi.WithProgress(progressOf(ctx))}
	if seen != nil {
		opts = append(opts, kubbi.WithInspected(seen))
	}
	return opts
}

// notSaved keeps the payload where it can be had again.
func (t *toolset) notSaved(err error, key *heldKey, got *kubbi.Spooled, spool *spoolFile) error {
	out := &unsaved{err: err, grace: got.Grace}
	if got.Grace > 0 {
		key.hold(time.Now().Add(got.Grace))
		return out
	}
	key.drop()
	if serr := spool.Sync(); serr != nil {
		t.Logger.Error("sync a spool file", "error", serr)
	}
	spool.kept, out.spool = true, spool.Name()
	return out
}

// writeParts writes a payload's parts, all or none.
func writeParts(ctx context.Context, batch *files.Batch, got *kubbi.Spooled) ([]files.Saved, error) {
	var names []string
	for _, p := range got.Parts {
		names = append(names, partName(p))
	}
	if err := files.CheckNames(names); err != nil {
		return nil, err
	}
	for i, p := range got.Parts {
		r, err := p.Open()
		if err != nil {
			return nil, err
		}
		if err := batch.Stage(ctx, names[i], r); err != nil {
			return nil, err
		}
	}
	return batch.Commit()
}

// partName is the name that a part is written under.
func partName(p kubbi.Part) string {
	if p.Name == "" {
		return files.SingleName(p.ContentType)
	}
	return p.Name
}

// savedResult says where a payload is, and shows nothing of it.
func (t *toolset) savedResult(ctx context.Context, claimURL string, got *kubbi.Spooled, saved []files.Saved) (*mcp.CallToolResult, error) {
	out := claimOutput{
		Claimed:        true,
		Type:           kindOf(got.Type),
		Burned:         got.Burned,
		RemainingReads: t.remaining(ctx, claimURL, got.Burned, got.Remaining, got.RemainingKnown),
		ContentType:    got.ContentType,
		Metadata:       orNull(got.Metadata),
		CreatedAt:      got.CreatedAt,
		ExpiresAt:      got.ExpiresAt,
	}
	res := &mcp.CallToolResult{Content: make([]mcp.Content, 1, 1+len(saved))}
	for i, f := range saved {
		p := got.Parts[i]
		out.Files = append(out.Files, claimedFile{
			Name: f.Name, ContentType: p.ContentType, Role: p.Role, SizeBytes: f.Size, Path: f.Path, SHA256: f.SHA256,
		})
		res.Content = append(res.Content, mcp.NewResourceLink(fileURI(f.Path), f.Name, "", p.ContentType))
	}
	manifest, err := marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode claim: %w", err)
	}
	res.Content[0] = mcp.NewTextContent(heading(out) + "\n" + string(manifest))
	out.Notice = claimNotice
	whole, err := marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode claim: %w", err)
	}
	setStructured(res, whole)
	return res, nil
}

// fileURI is a path as a URI.
func fileURI(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/...
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// unsized claims what the service does not say the size of: small, it is given as
// any other; too large to give, it is kept in a file.
func (t *toolset) unsized(ctx context.Context, claimURL string, key *heldKey, seen *kubbi.Inspected) (*mcp.CallToolResult, error) {
	got, spool, err := t.spooled(ctx, claimURL, key, seen)
	if err != nil {
		return nil, err
	}
	defer spool.close()
	size := int64(0)
	for _, p := range got.Parts {
		size += p.Size
	}
	if size <= t.MaxInline {
		whole, err := inMemory(got)
		if err != nil {
			return nil, t.notSaved(err, key, got, spool)
		}
		t.deliver(ctx, key, got.Grace, got.ReleaseSoon)
		return claimResult(whole, t.remaining(ctx, claimURL, got.Burned, got.Remaining, got.RemainingKnown))
	}
	dir, err := t.State.folder()
	if err != nil {
		return nil, t.notSaved(err, key, got, spool)
	}
	batch, err := files.Into(dir, false)
	if err != nil {
		return nil, t.notSaved(err, key, got, spool)
	}
	defer batch.Close()
	return t.saved(ctx, claimURL, key, got, spool, batch)
}

// inMemory takes a small payload out of its spool.
func inMemory(got *kubbi.Spooled) (*kubbi.Claimed, error) {
	out := &kubbi.Claimed{ClaimResponse: got.ClaimResponse}
	for i, p := range got.Parts {
		r, err := p.Open()
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		switch {
		case p.Name != "":
			out.Files[i].Content, out.Files[i].Encoding = fileContent(b)
		case p.ContentType == api.TypeJSON:
			out.Content = bytes.TrimSpace(b)
		default:
			if out.Content, err = jsontext.AppendQuote(nil, b); err != nil {
				return nil, errors.New("the text is not UTF-8")
			}
		}
	}
	return out, nil
}

// fileContent is a file's content as an answer has it.
func fileContent(b []byte) (content, encoding string) {
	if utf8.Valid(b) {
		return string(b), ""
	}
	return base64.StdEncoding.EncodeToString(b), api.EncodingBase64
}
