package tools

import (
	"context"
	"errors"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// received begins a batch in a folder of the server's own, made for this claim.
func (s *Saver) received() (*files.Batch, error) {
	if s.state == nil {
		return nil, files.Refusal("this server has no folder of its own")
	}
	dir, err := s.state.received()
	if err != nil {
		return nil, s.unwritable("make a folder for a claim", err)
	}
	return files.Into(dir, false)
}

// saveReceived writes a payload that has been claimed into the server's own
// folder.
func (s *Saver) saveReceived(ctx context.Context, got *kubbi.Spooled) ([]files.Saved, error) {
	batch, closeBatch, err := s.begun(s.received)
	if err != nil {
		return nil, err
	}
	defer closeBatch()
	return writeParts(ctx, batch, got)
}

// savedResult says where a payload is, and shows nothing of it. why says why it
// was saved without being asked for; "": it was.
func (t *toolset) savedResult(ctx context.Context, claimURL string, got *kubbi.Spooled, saved []files.Saved, why obstacle) (*mcp.CallToolResult, error) {
	out := manifestOf(got.ClaimResponse, t.remaining(ctx, claimURL, got.Burned, got.Remaining, got.RemainingKnown))
	for i, f := range saved {
		p := got.Parts[i]
		out.Files = append(out.Files, claimedFile{
			Name: f.Name, ContentType: p.ContentType, Role: p.Role, SizeBytes: f.Size, Path: f.Path, SHA256: f.SHA256,
		})
	}
	manifest, err := marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode claim: %w", err)
	}
	said := "The payload was saved, and is not shown here."
	if why != "" {
		said = fmt.Sprintf("The payload can't be shown: %s. It was saved in this server's own folder, where it is kept for a day.", why)
	}
	return textResult(
		piece{text: fmt.Sprintf("%s\n%s %s The manifest has the path of each file:\n", claimNotice, retrievalsLeft(out), said)},
		piece{text: string(manifest)}), nil
}

// showLarge deals with an answer that was too large to be shown as it is: what is
// small after all is shown as any other, and the rest is kept in a file.
func (t *toolset) showLarge(ctx context.Context, in claimInput, key *claimKey, got *kubbi.Spooled) (*mcp.CallToolResult, error) {
	s := t.saver
	sealed := kubbi.IsSealed(&kubbi.Inspected{InspectResponse: api.InspectResponse{Metadata: got.Metadata}})
	size := resultOverhead + partsSize(got)
	if size <= t.MaxInline && !sealed { // small answers were opened in memory
		whole, err := got.Claimed()
		if err != nil {
			return nil, s.notSaved(err, key, got)
		}
		return t.show(ctx, in, key, whole)
	}
	why := tooLarge(size, t.MaxInline)
	if sealed { // so no plaintext is kept that nobody asked for
		return nil, s.notOpened(errors.New(string(why)), key, got)
	}
	if !t.Received {
		return nil, s.notSaved(errors.New(string(why)), key, got)
	}
	saved, err := s.saveReceived(ctx, got)
	if err != nil {
		return nil, s.notSaved(err, key, got)
	}
	got.ReleaseSoon(ctx)
	key.drop()
	return t.savedResult(ctx, in.ClaimURL, got, saved, why)
}
