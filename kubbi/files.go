package kubbi

import (
	"context"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"

	"kubbi-mcp/kubbi/api"
)

// File is one file of a package to send: text, or base64 with Encoding set to
// api.EncodingBase64.
type File = api.FileRequest

// SendFilesParams is a package of files to send. TTL, MaxRetrievals, Metadata,
// Sealed, Notify and Progress are those of SendParams. Sealed hides the names
// and roles of the files as well, but not their types, number and sizes. Names
// are sent as they are; the hosted service takes those of FileNames.
type SendFilesParams struct {
	Files         []File
	Sources       []Source // instead of Files
	TTL           time.Duration
	MaxRetrievals int
	Metadata      any
	Sealed        bool
	Notify        *Notify
	Progress      Progress
}

// SendFiles creates a kubbi of several files and gives its claim URL. Errors
// are those of Send.
func (c *Client) SendFiles(ctx context.Context, p SendFilesParams) (*Sent, error) {
	switch {
	case len(p.Sources) > 0 && len(p.Files) > 0:
		return nil, invalid("files are given twice: as themselves and as sources")
	case p.Sealed:
		return c.sendFilesSealed(ctx, p)
	}
	names := make([]string, 0, len(p.Files)+len(p.Sources))
	for _, f := range p.Files {
		names = append(names, f.Name)
	}
	for _, s := range p.Sources {
		names = append(names, s.Name)
	}
	if err := checkNames(names); err != nil {
		return nil, err
	}
	if len(p.Sources) > 0 {
		return c.sendSources(ctx, p)
	}
	if len(p.Files) == 0 {
		return nil, invalid("files is empty: a package has at least one")
	}
	for i, f := range p.Files {
		if !utf8.ValidString(f.Content) {
			return nil, invalid("content of file %d is not valid UTF-8: encode it in base64 and set its encoding", i+1)
		}
	}
	req := api.CreateRequest{Files: p.Files}
	if err := setTerms(&req, p.TTL, p.MaxRetrievals, p.Metadata, p.Notify); err != nil {
		return nil, err
	}
	body, err := jsonv2.Marshal(&req)
	if err != nil {
		return nil, invalid("name, type, role or encoding of a file is not valid UTF-8")
	}
	return c.create(ctx, bodyOf(body), p.Progress)
}
