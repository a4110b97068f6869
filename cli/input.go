package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kubbi-mcp/internal/content"
	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// input is something to send: a file, standard input or a text.
type input struct {
	name        string // of the file, or its path in the folder that was given, or ""
	from        string // its name in errors
	size        int64
	data        []byte // the content, if it is in memory
	piped       bool   // it is standard input
	inFolder    bool   // it was found in a folder
	text        bool   // it can be sent as a string without loss, and a person can read it
	contentType string
	notJSON     string // why its content is not JSON although its name says so, or ""
	open        func() (io.ReadCloser, error)
}

// single reports whether it can be sent as a single content. A text on the command line
// always can.
func (f *input) single() bool {
	return !f.inFolder && (f.text || f.data != nil && !f.piped)
}

// stdinName is the name of standard input in a package, without --name.
const stdinName = "stdin"

// openFiles opens the files and folders of paths. "-" is standard input. name is that of
// standard input, or of the only file; "" leaves each its own.
func (a *app) openFiles(paths []string, name string) ([]input, error) {
	var inputs []input
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case path == "-" && hasPiped(inputs):
			return nil, usagef("standard input can be read only once")
		case path == "-":
			var data []byte
			if data, err = a.readStdin(); err != nil {
				return nil, err
			}
			f, err := stdinInput(name, data)
			if err != nil {
				return nil, err
			}
			inputs = append(inputs, f)
		case errors.Is(err, fs.ErrNotExist):
			return nil, usagef("%q: no such file or folder", path)
		case err != nil:
			return nil, usage(err)
		case info.IsDir():
			found, err := a.folder(path)
			if err != nil {
				return nil, err
			}
			inputs = append(inputs, found...)
		case !info.Mode().IsRegular():
			return nil, usagef("%s is not a file; pipe it to standard input and give -", path)
		default:
			inputs = append(inputs, input{name: filepath.Base(path), from: path, size: info.Size(), open: func() (io.ReadCloser, error) { return os.Open(path) }})
		}
	}
	if most := api.DefaultLimits().Files; len(inputs) > most {
		return nil, tooMany(paths, len(inputs), most)
	}
	if name != "" && len(inputs) == 1 {
		inputs[0].name = name
	}
	for i := range inputs {
		if inputs[i].data == nil {
			if err := inputs[i].look(); err != nil {
				return nil, usage(err)
			}
		}
	}
	return inputs, nil
}

// tooMany refuses more files than a package can hold.
func tooMany(paths []string, n, most int) error {
	if len(paths) > 1 {
		return usagef("these are %d files, and a package holds at most %d: send fewer, or one archive of them", n, most)
	}
	path := paths[0]
	if full, err := filepath.Abs(path); err == nil { // "." has no name
		path = full
	}
	return usagef("%s and the folders in it hold %d files, and a package at most %d: send fewer, or one archive, as: tar -cz %s | kubbi-mcp send --name %s",
		paths[0], n, most, paths[0], filename.Safe(filepath.Base(path)+".tgz"))
}

// folder finds the files in a folder and its subfolders by the rules for tools. It leaves
// out hidden files, unless --allow-hidden is set.
func (a *app) folder(path string) ([]input, error) {
	dir, err := filepath.Abs(path)
	if err != nil {
		return nil, usage(err)
	}
	allowed, err := files.NewFolder(dir)
	if err != nil {
		return nil, usage(err)
	}
	own, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	rules := files.Rules{Folders: []files.Folder{allowed}, Hidden: a.cfg.AllowHidden, HardLinks: true, Denied: []string{own}}
	found, err := rules.Expand(dir, maxFolder)
	if err != nil {
		return nil, usage(err)
	}
	if found.Hidden > 0 {
		a.log.Warn("what is hidden, or looks like a store of keys, is left out; give such a file by name, or --allow-hidden", "folder", path, "left_out", found.Hidden)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, usage(err)
	}
	var inputs []input
	for _, f := range found.Files {
		info, err := os.Lstat(f.Path)
		if err != nil {
			return nil, usage(err)
		}
		from := f.Path
		if rel, err := filepath.Rel(real, f.Path); err == nil {
			from = filepath.Join(path, rel)
		}
		inputs = append(inputs, input{name: f.Own, from: from, size: info.Size(), inFolder: true, open: func() (io.ReadCloser, error) { return rules.OpenFound(f) }})
	}
	return inputs, nil
}

// maxFolder is the number of files up to which a folder's files are counted.
const maxFolder = 10_000

func hasPiped(inputs []input) bool {
	return slices.ContainsFunc(inputs, func(f input) bool { return f.piped })
}

// stdinInput is standard input. Without a name it must be text.
func stdinInput(name string, data []byte) (input, error) {
	f, err := dataInput(name, data)
	f.piped, f.from = true, "standard input"
	if err == nil && name == "" && !f.text {
		return f, usagef("standard input is not text: give --name FILE, as --name logo.png, to send it as a file of that name; nothing was sent")
	}
	if name == "" {
		f.name = stdinName
	}
	return f, err
}

// dataInput is a content in memory.
func dataInput(name string, data []byte) (input, error) {
	if data == nil {
		data = []byte{}
	}
	f := input{name: name, from: "the text", size: int64(len(data)), data: data, open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
	return f, f.look()
}

// look detects the type of the content.
func (f *input) look() error {
	r, err := f.open()
	if err != nil {
		return err
	}
	defer r.Close()
	content, err := files.Detect(f.name, r)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.from, err)
	}
	f.text, f.contentType = content.Text, content.Type
	return f.settleJSON()
}

// settleJSON changes the type of a file whose name says JSON and whose content is not
// JSON.
func (f *input) settleJSON() error {
	if f.contentType != api.TypeJSON {
		return nil
	}
	r, err := f.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if f.notJSON, err = content.JSONFault(r); err != nil {
		return fmt.Errorf("read %s: %w", f.name, err)
	}
	if f.notJSON != "" {
		f.contentType = files.DefaultType(f.text)
	}
	return nil
}

// singleType is the file's type as a single content.
func (f *input) singleType() string {
	if t := files.SingleType(f.name); t != api.TypeJSON || f.notJSON == "" {
		return t
	}
	return api.TypeText
}

// changes says which type and name differ from the file's own.
func (f *input) changes(name string) []string {
	var all []string
	if f.notJSON != "" {
		all = append(all, fmt.Sprintf("%s %s, so it is sent as %s", f.name, f.notJSON, f.contentType))
	}
	if name != "" && name != f.name {
		all = append(all, fmt.Sprintf("%s is sent as %s", f.name, name))
	}
	return all
}

// source is the file as part of a package.
func (f *input) source() kubbi.Source {
	s := kubbi.Source{Name: files.PackageName(f.name), ContentType: f.contentType, Size: f.size, Open: f.open}
	if !f.text {
		s.Encoding = api.EncodingBase64
	}
	return s
}

// packageSources are the files of a package. Their names must differ.
func packageSources(inputs []input) ([]kubbi.Source, error) {
	var out []kubbi.Source
	seen := map[string]string{}
	for _, f := range inputs {
		s := f.source()
		if other, ok := seen[filename.Fold(s.Name)]; ok {
			return nil, usagef("%s and %s would have the same name in the package, %s; rename one, or send them one by one", other, f.from, s.Name)
		}
		seen[filename.Fold(s.Name)] = f.from
		out = append(out, s)
	}
	return out, nil
}
