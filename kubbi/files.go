package kubbi

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"

	"kubbi-mcp/kubbi/api"
)

// File is one file of a package to send: text, or base64 with Encoding set to
// api.EncodingBase64.
type File = api.FileRequest

// SendFilesParams is a package of files to send. TTL, MaxRetrievals, Metadata,
// Sealed, Notify and Progress are those of SendParams. Sealed hides the names, types,
// roles, sizes and number of the files as well, but not the size of all together. Names
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
	new := creation{progress: p.Progress}
	for i, f := range p.Files {
		if !utf8.ValidString(f.Content) {
			return nil, invalid("content of file %d is not valid UTF-8: encode it in base64 and set its encoding", i+1)
		}
		new.size += int64(len(f.Content))
	}
	req := api.CreateRequest{Files: p.Files}
	if err := setTerms(&req, p.TTL, p.MaxRetrievals, p.Metadata, p.Notify); err != nil {
		return nil, err
	}
	new.json = func() (payload, error) {
		body, err := jsonv2.Marshal(&req)
		if err != nil {
			return nil, invalid("name, type, role or encoding of a file is not valid UTF-8")
		}
		return bodyOf(body), nil
	}
	new.raw = func() (payload, error) {
		sources := make([]*sourced, len(p.Files))
		for i, f := range p.Files {
			var err error
			if sources[i], err = givenFile(i+1, f); err != nil {
				return nil, err
			}
		}
		return rawFiles(req, sources)
	}
	return c.create(ctx, new)
}

// rawFiles is the raw body of a package.
func rawFiles(req api.CreateRequest, sources []*sourced) (payload, error) {
	head := rawHead(req)
	for _, s := range sources {
		head.Files = append(head.Files, rawFile(s))
	}
	body, err := rawBody(head, sources)
	if fault := (*Error)(nil); err != nil && !errors.As(err, &fault) {
		err = invalid("name, type, role or encoding of a file is not valid UTF-8")
	}
	return body, err
}

// givenFile is a file whose content is in memory, as a source of its bytes.
func givenFile(place int, f File) (*sourced, error) {
	s := Source{Name: f.Name, ContentType: f.ContentType, Role: f.Role, Encoding: f.Encoding, Size: int64(len(f.Content))}
	s.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.Content)), nil }
	if f.Encoding == api.EncodingBase64 {
		bad := invalid("content of file %d must be base64: the standard alphabet, padded, without line breaks", place)
		text := strings.TrimRight(f.Content, "=")
		if len(f.Content)%4 != 0 || len(f.Content)-len(text) > 2 || strings.ContainsAny(text, "\r\n") {
			return nil, bad
		}
		s.Size = int64(base64.RawStdEncoding.DecodedLen(len(text)))
		s.Open = func() (io.ReadCloser, error) {
			return io.NopCloser(&decoding{base64.NewDecoder(base64.RawStdEncoding.Strict(), strings.NewReader(text)), bad}), nil
		}
	}
	return s.file(place)
}

// decoding is a decoder with an error of its own.
type decoding struct {
	r   io.Reader
	bad *Error
}

// Read implements io.Reader.
func (d *decoding) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if err != nil && err != io.EOF {
		err = d.bad
	}
	return n, err
}
