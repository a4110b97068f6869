package tools

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"kubbi-mcp/internal/content"
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
	named   bool     // the call gives its name
	several bool     // the path stands for more than one file
	notes   []string // what was changed, and why

	rules files.Rules
	info  os.FileInfo
	sum   hash.Hash // of the bytes that the last attempt has read
}

// detect opens a file and finds out what is in it.
func detect(rules files.Rules, found files.Found) (*localFile, error) {
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

// open opens the file for an attempt of a call, by the same rules. It refuses another file
// in its place.
func (l *localFile) open() (io.ReadCloser, error) {
	f, err := l.rules.OpenFound(l.Found)
	if err != nil {
		return nil, err
	}
	if !os.SameFile(f.Info, l.info) || f.Info.Size() != l.size {
		f.Close()
		return nil, files.Refusal(fmt.Sprintf("%q changed while it was being sent", l.Path))
	}
	l.sum = sha256.New()
	return &hashedFile{f, l.sum}, nil
}

// hashedFile adds what is read of a file to a checksum.
type hashedFile struct {
	io.ReadCloser
	sum hash.Hash
}

// Read implements io.Reader.
func (h *hashedFile) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	h.sum.Write(p[:n])
	return n, err
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

func (l *localFile) checksum() string { return hex.EncodeToString(l.sum.Sum(nil)) }

// expand finds the files that the path in an argument stands for, at most limit.
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
		l, err := detect(rules, one)
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
			if err := l.correctJSON(); err != nil {
				return nil, 0, err
			}
		}
		out = append(out, l)
	}
	return out, found.Hidden, nil
}

// contentOf prepares a text file that is sent as a single content.
func contentOf(rules files.Rules, in sendInput, p *kubbi.SendParams) (*localFile, error) {
	found, err := rules.Expand(in.Path, api.DefaultLimits().Files)
	if err != nil {
		return nil, err
	}
	if !found.One {
		return nil, args.Error("path stands for more than one file: use send_files, which takes the same path.")
	}
	l, err := detect(rules, found.Files[0])
	if err != nil {
		return nil, err
	}
	if !l.Text {
		return nil, args.Error(fmt.Sprintf("%q is no text: use send_files, which takes the same path.", l.Path))
	}
	if l.Type = in.ContentType; l.Type == "" {
		if l.Type = files.SingleType(l.Path); l.Type == api.TypeJSON {
			err = l.correctJSON()
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

// source is the file as a part of a package.
func (l *localFile) source() kubbi.Source {
	s := kubbi.Source{Name: l.Name, ContentType: l.Type, Role: l.role, Size: l.size, Open: l.open}
	if !l.Text {
		s.Encoding = api.EncodingBase64
	}
	return s
}

// inlineSource is the source of a file whose content is in the arguments.
func inlineSource(f fileInput) (kubbi.Source, error) {
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

// correctJSON gives a file with a JSON name and other content its real type, and notes
// why.
func (l *localFile) correctJSON() error {
	why, err := l.notJSON()
	if err == nil && why != "" {
		l.Type = files.DefaultType(l.Text)
		l.notef("%s %s, so it was sent as %s.", strconv.Quote(filepath.Base(l.Path)), why, l.Type)
	}
	return err
}

// mustBeJSON refuses a file that should be sent as JSON but is not JSON.
func (l *localFile) mustBeJSON() error {
	why, err := l.notJSON()
	if err == nil && why != "" {
		err = args.Error(fmt.Sprintf("%q %s, and can't be sent as %s: leave content_type out to send it as %s.", l.Path, why, api.TypeJSON, api.TypeText))
	}
	return err
}

// notJSON says why the file is not a JSON value, "" if it is one.
func (l *localFile) notJSON() (string, error) {
	f, err := l.rules.OpenFound(l.Found)
	if err != nil {
		return "", err
	}
	defer f.Close()
	why, err := content.JSONFault(f)
	if err != nil {
		return "", files.Refusal(fmt.Sprintf("%q can't be read", l.Path))
	}
	return why, nil
}

// notef adds a note about the file to the result.
func (l *localFile) notef(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}
