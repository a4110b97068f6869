package kubbi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"kubbi-mcp/internal/content"
	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi/api"
)

// sealedHead is the head of the raw body that is sealed: an api.RawClaim without
// what the service says. It has a copy of the metadata, with the seal.
type sealedHead struct {
	ContentType  string          `json:"content_type,omitzero"`
	ContentBytes *int64          `json:"content_bytes,omitzero"` // single content
	Files        []api.RawFile   `json:"files,omitzero"`         // package
	Metadata     json.RawMessage `json:"metadata"`
}

// sendSealed seals a single content.
func (c *Client) sendSealed(ctx context.Context, p SendParams) (*Sent, error) {
	source, err := p.sourced()
	if err != nil {
		return nil, err
	}
	sent, err := c.sendInside(ctx, sealedHead{ContentType: source.ContentType, ContentBytes: &source.Size}, []*sourced{source}, true, SendFilesParams{
		TTL: p.TTL, MaxRetrievals: p.MaxRetrievals, Metadata: p.Metadata, Notify: p.Notify, Progress: p.Progress,
	})
	if err != nil {
		return nil, err
	}
	sent.ContentType, sent.FileCount, sent.TotalSizeBytes = source.ContentType, nil, nil
	return sent, nil
}

// sendFilesSealed seals a package.
func (c *Client) sendFilesSealed(ctx context.Context, p SendFilesParams) (*Sent, error) {
	for i, f := range p.Files {
		source, err := givenFile(i+1, f)
		if err != nil {
			return nil, err
		}
		p.Sources = append(p.Sources, source.Source)
	}
	if err := checkFiles(p.Sources); err != nil {
		return nil, err
	}
	head, sources, size := sealedHead{Files: []api.RawFile{}}, []*sourced{}, int64(0)
	for i, s := range p.Sources {
		source, err := s.file(i + 1)
		if err != nil {
			return nil, err
		}
		if s.Size > maxSealedPlain-size {
			return nil, invalid("the files have more bytes together than can be sealed")
		}
		size += s.Size
		head.Files, sources = append(head.Files, rawFile(source)), append(sources, source)
	}
	text := !slices.ContainsFunc(p.Sources, func(s Source) bool { return s.Encoding != "" })
	sent, err := c.sendInside(ctx, head, sources, text, p)
	if err != nil {
		return nil, err
	}
	sent.FileCount, sent.TotalSizeBytes = new(len(sources)), &size
	return sent, nil
}

// sendInside seals a head and what it tells of, and sends that as a package of one
// file. Nothing but the segment that is under way stands in memory.
func (c *Client) sendInside(ctx context.Context, head sealedHead, sources []*sourced, text bool, p SendFilesParams) (*Sent, error) {
	key, err := newSealKey()
	if err != nil {
		return nil, err
	}
	metadata, err := key.mark(p.Metadata, text)
	if err != nil {
		return nil, err
	}
	p.Metadata, head.Metadata = metadata, json.RawMessage(metadata.Value)
	body, err := rawBody(head, sources)
	if err != nil {
		return nil, err
	}
	s, err := key.newSealing(body.size())
	if err != nil {
		return nil, err
	}
	p.Files, p.Sources = nil, []Source{{
		Name: api.SealedName, ContentType: api.TypeSealed, Encoding: api.EncodingBase64, Size: sealedSize(s.size),
		Open: func() (io.ReadCloser, error) { return s.open(body.open()), nil },
	}}
	sent, err := c.sendSources(ctx, p)
	if err != nil {
		return nil, err
	}
	sent.ClaimURL = key.withKey(sent.ClaimURL)
	return sent, nil
}

// sourced gives a single content, whichever way it was given.
func (p SendParams) sourced() (*sourced, error) {
	if p.Source != nil {
		s, err := p.Source.content()
		if err == nil {
			err = s.checkJSON() // no service can
		}
		return s, err
	}
	raw, isText, err := encodeContent(p.Content)
	if err != nil {
		return nil, err
	}
	contentType := p.ContentType
	switch {
	case contentType == "" && isText:
		contentType = api.TypeText
	case contentType == "":
		contentType = api.TypeJSON
	case !slices.Contains(api.ContentTypes, contentType):
		return nil, invalid("content_type must be one of %s", strings.Join(api.ContentTypes, ", "))
	case !isText && contentType != api.TypeJSON:
		return nil, invalid("content must be a string when content_type is %s", contentType)
	}
	data := []byte(raw)
	if contentType != api.TypeJSON {
		if data, err = unquoted(raw); err != nil {
			return nil, err
		}
	}
	source := Source{ContentType: contentType, Size: int64(len(data))}
	source.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	// encodeContent has seen that JSON is JSON.
	return &sourced{Source: source, what: "content", json: contentType == api.TypeJSON}, nil
}

// checkFiles looks at what the relay can't look at, as it is sealed.
func checkFiles(files []Source) error {
	if len(files) == 0 {
		return invalid("files is empty: a package has at least one")
	}
	all := make([]string, len(files))
	for i, f := range files {
		all[i] = f.Name
	}
	if err := checkNames(all); err != nil {
		return err
	}
	names := map[string]bool{}
	for i, f := range files {
		if fault := fileFault(rawFile(&sourced{Source: f}), names); fault != "" {
			return invalid("file %d %s", i+1, fault)
		}
	}
	return nil
}

// plainFile gives a file as its bytes.
func plainFile(place int, f File) ([]byte, error) {
	data := []byte(f.Content)
	if f.Encoding == api.EncodingBase64 {
		var err error
		data, err = base64.StdEncoding.Strict().DecodeString(f.Content)
		if err != nil || strings.ContainsAny(f.Content, "\r\n") {
			return nil, invalid("content of file %d must be base64: the standard alphabet, padded, without line breaks", place)
		}
	} else if !utf8.Valid(data) {
		return nil, invalid("content of file %d is not valid UTF-8: encode it in base64 and set its encoding", place)
	}
	return data, nil
}

// fileFault says what is wrong with what is inside about a file, by the rules that a
// relay has for files it can read; "" for nothing. A name of the API reference is
// good even if Windows can't save it, as aux.h: another client may have sent it.
// names are those of the files before it, folded.
func fileFault(l api.RawFile, names map[string]bool) string {
	switch name := filename.Fold(l.Name); {
	case !filename.IsASCII(l.Name) && filename.Fault(l.Name, api.DefaultLimits().FileNameBytes) != "":
		return "has no valid name"
	case names[name]:
		return "has the name of another one, ignoring case and Unicode form"
	default:
		names[name] = true
	}
	switch {
	case !content.IsMediaType(l.ContentType):
		return "has no valid content type: it is type/subtype without parameters"
	case l.Role != "" && !slices.Contains(api.Roles, l.Role):
		return "has a role that is not one of " + strings.Join(api.Roles, ", ")
	case l.Encoding != "" && l.Encoding != api.EncodingBase64:
		return "has an encoding that is not " + api.EncodingBase64
	}
	return ""
}
