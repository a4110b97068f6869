package cli

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// input is a file as it was read.
type input struct {
	name string // without folders
	data []byte
}

// isText tells whether the file can be sent as a string without loss, and
// read by a person.
func (f input) isText() bool { return utf8.Valid(f.data) && bytes.IndexByte(f.data, 0) < 0 }

// contentType is the type of a single content that fits the file's name.
func (f input) contentType() string {
	switch strings.ToLower(filepath.Ext(f.name)) {
	case ".json":
		return api.TypeJSON
	case ".md", ".markdown":
		return api.TypeMarkdown
	case ".csv":
		return api.TypeCSV
	default:
		return api.TypeText
	}
}

// readFiles reads each file, "-" from standard input, and no more than
// maxInput of them together.
func (a *app) readFiles(paths []string) ([]input, error) {
	var inputs []input
	total := 0
	stdin := false
	for _, path := range paths {
		var f input
		var err error
		if path == "-" {
			if stdin {
				return nil, usagef("standard input can be read only once")
			}
			stdin = true
			f.name = "stdin"
			f.data, err = a.readStdin()
		} else {
			f.name = filepath.Base(path)
			f.data, err = readFile(path)
		}
		if err != nil {
			return nil, err
		}
		if total += len(f.data); total > maxInput {
			return nil, usagef("the files together are larger than %s", size(maxInput))
		}
		inputs = append(inputs, f)
	}
	return inputs, nil
}

// readFile reads a regular file: a device or a pipe may have no end.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usage(err)
	}
	if !info.Mode().IsRegular() {
		return nil, usagef("%s is not a file; pipe it to standard input and give -", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, usage(err)
	}
	defer f.Close()
	return readAll(f, path)
}

// packageFiles are the files of a package, under names that it can have.
func packageFiles(inputs []input) ([]kubbi.File, error) {
	var out []kubbi.File
	seen := map[string]string{}
	for _, f := range inputs {
		name := files.PackageName(f.name)
		if other, ok := seen[strings.ToLower(name)]; ok {
			return nil, usagef("%s and %s would have the same name in the package, %s", other, f.name, name)
		}
		seen[strings.ToLower(name)] = f.name
		file := kubbi.File{Name: name}
		if f.isText() {
			file.Content = string(f.data)
		} else {
			file.Content = base64.StdEncoding.EncodeToString(f.data)
			file.Encoding = api.EncodingBase64
		}
		file.ContentType = files.ContentType(name, file.Encoding != "")
		out = append(out, file)
	}
	return out, nil
}
