package tools

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/args"
	"kubbi-mcp/tools/files"
)

// localFile is a file that is sent by its path.
type localFile struct {
	files.Found
	files.Content
	size int64
	role string

	place   int      // in the package, from 0
	named   bool     // its name was given with its path
	several bool     // its path stands for more than one
	notes   []string // what was changed on its way, and why

	rules files.Rules
	info  os.FileInfo
	sum   *summing // of what was read last, from its beginning
}

// look opens a file, and finds out what is in it.
func look(rules files.Rules, found files.Found) (*localFile, error) {
	f, err := rules.OpenFound(found)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := files.Detect(found.Path, f)
	if err != nil {
		return nil, files.Refusal(fmt.Sprintf("%q can't be read", found.Path))
	}
	return &localFile{Found: found, Content: content, size: f.Info.Size(), rules: rules, info: f.Info}, nil
}

// open opens the file anew, by the same rules, for each attempt of a call. Another
// one in its place is refused.
func (l *localFile) open() (io.ReadCloser, error) {
	f, err := l.rules.OpenFound(l.Found)
	if err != nil {
		return nil, err
	}
	if !os.SameFile(f.Info, l.info) || f.Info.Size() != l.size {
		f.Close()
		return nil, files.Refusal(fmt.Sprintf("%q changed while it was being sent", l.Path))
	}
	l.sum = newSumming(f, l.size)
	return l.sum, nil
}

// sentFile is what a result says of a file that was sent by its path.
type sentFile struct {
	Name        string `json:"name"`
	Path        string `json:"path"`
	ContentType string `json:"content_type"`
	SizeBytes   int64  `json:"size_bytes"`
	SHA256      string `json:"sha256"`
}

func (l *localFile) sent() sentFile {
	return sentFile{Name: l.Name, Path: l.Path, ContentType: l.Type, SizeBytes: l.size, SHA256: l.checksum()}
}

func (l *localFile) checksum() string { return hex.EncodeToString(l.sum.total()) }

// expand finds the files that an argument's path stands for, at most limit.
func (f *fileInput) expand(rules files.Rules, limit int) (_ []*localFile, hidden int, err error) {
	if f.Encoding != "" {
		return nil, 0, args.Error("The encoding is found from the file where path is given: leave it out.")
	}
	found, err := rules.Expand(f.Path, limit)
	if err != nil {
		return nil, 0, err
	}
	if !found.One && (f.Name != "" || f.ContentType != "") {
		return nil, 0, args.Error("A name and a content_type are for one file, and path stands for several: leave them out.")
	}
	var out []*localFile
	for _, one := range found.Files {
		l, err := look(rules, one)
		if err != nil {
			return nil, 0, err
		}
		if l.named = f.Name != ""; l.named {
			l.Name = f.Name
		}
		l.role, l.several = f.Role, !found.One
		switch {
		case f.ContentType != "":
			l.Type = f.ContentType
		case l.Type == api.TypeJSON:
			if err := l.settleJSON(); err != nil {
				return nil, 0, err
			}
		}
		out = append(out, l)
	}
	return out, found.Hidden, nil
}

// contentOf prepares a text file to be sent as a single content.
func (t *toolset) contentOf(ctx context.Context, in sendInput, p *kubbi.SendParams) (*localFile, error) {
	rules := t.rules(ctx)
	found, err := rules.Expand(in.Path, api.DefaultLimits().Files)
	if err != nil {
		return nil, err
	}
	if !found.One {
		return nil, args.Error("path stands for more than one file: use send_files, which takes the same path.")
	}
	l, err := look(rules, found.Files[0])
	if err != nil {
		return nil, err
	}
	if !l.Text {
		return nil, args.Error(fmt.Sprintf("%q is no text: use send_files, which takes the same path.", l.Path))
	}
	if l.Type = in.ContentType; l.Type == "" {
		if l.Type = files.SingleType(l.Path); l.Type == api.TypeJSON {
			err = l.settleJSON()
		}
	} else if l.Type == api.TypeJSON {
		err = l.mustBeJSON()
	}
	if err != nil {
		return nil, err
	}
	p.Source = &kubbi.Source{ContentType: l.Type, Size: l.size, Open: l.open}
	return l, nil
}

// source is the file as it goes out in a package.
func (l *localFile) source() kubbi.Source {
	s := kubbi.Source{Name: l.Name, ContentType: l.Type, Role: l.role, Size: l.size, Open: l.open}
	if !l.Text {
		s.Encoding = api.EncodingBase64
	}
	return s
}

// given is the source of a file whose content is among the arguments.
func given(f fileInput) (kubbi.Source, error) {
	data := []byte(f.Content.String)
	if f.Encoding != "" {
		var err error
		if data, err = base64.StdEncoding.Strict().DecodeString(f.Content.String); err != nil {
			return kubbi.Source{}, args.Error(fmt.Sprintf("The content of %q is not base64: the standard alphabet, padded, without line breaks.", f.Name))
		}
	}
	return kubbi.Source{
		Name: f.Name, ContentType: f.ContentType, Role: f.Role, Encoding: f.Encoding, Size: int64(len(data)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}, nil
}
