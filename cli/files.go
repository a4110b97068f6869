package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// input is a file to send, or standard input.
type input struct {
	name        string // without folders
	size        int64
	text        bool // it can be sent as a string without loss, and read by a person
	contentType string
	notJSON     string // why it is no JSON, though its name says so; "": it is, or does not say so
	open        func() (io.ReadCloser, error)
}

// openFiles looks at each file, and reads "-" from standard input.
func (a *app) openFiles(paths []string) ([]input, error) {
	var inputs []input
	stdin := false
	for _, path := range paths {
		var f input
		var err error
		if path == "-" {
			if stdin {
				return nil, usagef("standard input can be read only once")
			}
			stdin = true
			f, err = a.stdinFile()
		} else {
			f, err = lookAt(path)
		}
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, f)
	}
	return inputs, nil
}

func (a *app) stdinFile() (input, error) {
	data, err := a.readStdin()
	if err != nil {
		return input{}, err
	}
	f := input{name: "stdin", size: int64(len(data)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
	return f, f.look()
}

// lookAt looks at a regular file: a device or a pipe may have no end.
func lookAt(path string) (input, error) {
	info, err := os.Stat(path)
	if err != nil {
		return input{}, usage(err)
	}
	if !info.Mode().IsRegular() {
		return input{}, usagef("%s is not a file; pipe it to standard input and give -", path)
	}
	f := input{name: filepath.Base(path), size: info.Size(), open: func() (io.ReadCloser, error) { return os.Open(path) }}
	if err := f.look(); err != nil {
		return f, usage(err)
	}
	return f, nil
}

// look finds out what is in the file.
func (f *input) look() error {
	r, err := f.open()
	if err != nil {
		return err
	}
	defer r.Close()
	content, err := files.Look(f.name, r)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.name, err)
	}
	f.text, f.contentType = content.Text, content.Type
	return f.settleJSON()
}

// source is the file as it goes out in a package.
func (f *input) source() kubbi.Source {
	s := kubbi.Source{Name: files.PackageName(f.name), ContentType: f.contentType, Size: f.size, Open: f.open}
	if !f.text {
		s.Encoding = api.EncodingBase64
	}
	return s
}

// packageSources are the files of a package, under names that it can have.
func packageSources(inputs []input) ([]kubbi.Source, error) {
	var out []kubbi.Source
	seen := map[string]string{}
	for _, f := range inputs {
		s := f.source()
		if other, ok := seen[api.FoldFileName(s.Name)]; ok {
			return nil, usagef("%s and %s would have the same name in the package, %s", other, f.name, s.Name)
		}
		seen[api.FoldFileName(s.Name)] = f.name
		out = append(out, s)
	}
	return out, nil
}
