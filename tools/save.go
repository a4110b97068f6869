package tools

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// savedResult says where a payload is, and shows nothing of it.
func (t *toolset) savedResult(ctx context.Context, claimURL string, got *kubbi.Spooled, saved []files.Saved) (*mcp.CallToolResult, error) {
	out := claimOutputOf(got.ClaimResponse, t.remaining(ctx, claimURL, got.Burned, got.Remaining, got.RemainingKnown))
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
	return withNotice(res, out, claimNotice)
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
	s := t.saver
	got, spool, err := s.spooled(ctx, claimURL, key, seen)
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
			return nil, s.notSaved(err, key, got, spool)
		}
		t.deliver(ctx, key, got.Grace, got.ReleaseSoon)
		return claimResult(whole, t.remaining(ctx, claimURL, got.Burned, got.Remaining, got.RemainingKnown))
	}
	dir, err := s.state.folder()
	if err != nil {
		return nil, s.notSaved(err, key, got, spool)
	}
	batch, err := files.Into(dir, false)
	if err != nil {
		return nil, s.notSaved(err, key, got, spool)
	}
	defer batch.Close()
	saved, err := s.write(ctx, key, got, spool, batch)
	if err != nil {
		return nil, err
	}
	return t.savedResult(ctx, claimURL, got, saved)
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
