package kubbi

import (
	"context"
	"encoding/base64"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"kubbi-mcp/kubbi/api"
)

// File is one file of a package to send: text, or base64 with Encoding set to
// api.EncodingBase64.
type File = api.FileRequest

// SendFilesParams is a package of files to send. TTL, MaxRetrievals, Metadata, Sealed,
// To, Notify and Progress are as in SendParams. Sealed also hides the names, types, roles,
// sizes and number of the files, but not their total size. Names are sent unchanged; the
// hosted service accepts only names from FileNames.
type SendFilesParams struct {
	Files         []File
	Sources       []Source // instead of Files
	TTL           time.Duration
	MaxRetrievals int
	Metadata      any
	Sealed        bool
	To            []Recipient
	Notify        *Notify
	Progress      Progress
}

// SendFiles creates a kubbi with files and gives its claim URL. Errors are those of Send.
func (c *Client) SendFiles(ctx context.Context, p SendFilesParams) (*Sent, error) {
	if len(p.Sources) > 0 && len(p.Files) > 0 {
		return nil, invalid("files are given twice: as themselves and as sources")
	}
	if len(p.Sources)+len(p.Files) == 0 {
		return nil, invalid("files is empty: a package has at least one")
	}
	u := &upload{isPackage: true, progress: p.Progress}
	for i, s := range p.Sources {
		file, err := s.file(i + 1)
		if err != nil {
			return nil, err
		}
		u.contents = append(u.contents, file)
	}
	for i, f := range p.Files {
		file, err := fileInMemory(i+1, f)
		if err != nil {
			return nil, err
		}
		u.contents = append(u.contents, file)
	}
	names := make([]string, len(u.contents))
	for i, o := range u.contents {
		names[i] = o.Name
	}
	if err := checkNames(names); err != nil {
		return nil, err
	}
	if err := u.setTerms(p.TTL, p.MaxRetrievals, p.Metadata, p.Notify); err != nil {
		return nil, err
	}
	return c.send(ctx, u, p.Sealed, p.To)
}

// fileInMemory is a file whose content is in memory.
func fileInMemory(place int, f File) (*outgoing, error) {
	if !utf8.ValidString(f.Content) {
		return nil, invalid("content of file %d is not valid UTF-8: encode it in base64 and set its encoding", place)
	}
	s := Source{Name: f.Name, ContentType: f.ContentType, Role: f.Role, Encoding: f.Encoding, Size: int64(len(f.Content))}
	s.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.Content)), nil }
	if f.Encoding == api.EncodingBase64 {
		bad := invalid("content of file %d must be base64: the standard alphabet, padded, without line breaks", place)
		size, ok := base64Size(f.Content)
		if !ok {
			return nil, bad
		}
		s.Size = size
		s.Open = func() (io.ReadCloser, error) { return io.NopCloser(newBase64Reader(f.Content, bad)), nil }
	}
	out, err := s.file(place)
	if err == nil {
		out.text = &f.Content
	}
	return out, err
}

// base64Size gives how many bytes a base64 text encodes. ok is false if its length or
// padding is wrong, or if it has line breaks.
func base64Size(text string) (_ int64, ok bool) {
	bare := strings.TrimRight(text, "=")
	ok = len(text)%4 == 0 && len(text)-len(bare) <= 2 && !strings.ContainsAny(bare, "\r\n")
	return int64(base64.RawStdEncoding.DecodedLen(len(bare))), ok
}

// newBase64Reader decodes a base64 text for which base64Size was ok. Its error is bad.
func newBase64Reader(text string, bad error) io.Reader {
	text = strings.TrimRight(text, "=")
	return &errorReader{base64.NewDecoder(base64.RawStdEncoding.Strict(), strings.NewReader(text)), bad}
}

// errorReader returns err instead of an error of its reader.
type errorReader struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (e *errorReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && err != io.EOF {
		err = e.err
	}
	return n, err
}
