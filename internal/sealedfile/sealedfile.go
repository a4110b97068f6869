// Package sealedfile keeps small secrets of a data directory in sealed files, each 0600 and
// under a name of its own. Many processes may use the same files.
//
// The files are sealed under the master key in client-keyring.json, which is made at the first
// use. It is another key than that of the embedded relay: rotating and pruning the relay's
// keys asks the relay's store which keys are needed, and the store knows nothing of these
// files. A file does not open under another name, in another folder, or in another data
// directory.
package sealedfile

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/private"
)

const (
	keyringName = "client-keyring.json"
	suffix      = ".sealed"
	leftAge     = time.Hour
	version     = 1
	secretSize  = 32
)

// ErrDamaged says that a file does not open: it was changed, cut, renamed, or brought from
// elsewhere, or its master key is gone. The error names the file.
var ErrDamaged = errors.New("does not open")

// Folder is where some files are. It is in a data directory.
type Folder struct {
	Data    string         // the data directory
	Name    string         // of the folder in it; "": the files are in the data directory itself
	Purpose atrest.Purpose // what the files are for
}

// content is the JSON in a file.
type content struct {
	Version int    `json:"version"`
	Key     string `json:"key"`    // id of the master key
	Secret  []byte `json:"secret"` // the key of this file is derived from it as well
	Sealed  []byte `json:"sealed"`
}

// Path is the path of a file.
func (f Folder) Path(name string) string { return filepath.Join(f.Data, f.Name, name+suffix) }

// Create writes a file, unless there is one of that name: then the error is fs.ErrExist. The
// file is durable when Create returns.
func (f Folder) Create(ctx context.Context, name string, plain []byte) error {
	if err := private.MakeDir(filepath.Join(f.Data, f.Name)); err != nil {
		return fmt.Errorf("make the folder of %s: %w", f.Path(name), err)
	}
	ring, err := f.ring(ctx)
	if err != nil {
		return err
	}
	c := content{Version: version, Key: ring.Sealing(time.Now()), Secret: make([]byte, secretSize)}
	_, _ = rand.Read(c.Secret) // never fails
	key, err := ring.Key(c.Key, c.Secret, f.Purpose, []byte(name))
	if err != nil {
		return err
	}
	if c.Sealed, err = key.SealBytes(rand.Reader, f.binding(name), plain); err != nil {
		return err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	there, err := private.Create(f.Path(name), text)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(there, text):
		return fmt.Errorf("%s: %w", f.Path(name), fs.ErrExist)
	}
	return nil
}

// Read opens a file. The error is fs.ErrNotExist if there is none, and ErrDamaged if it does
// not open.
func (f Folder) Read(ctx context.Context, name string) ([]byte, error) {
	path := f.Path(name)
	text, err := private.Read(path)
	if err != nil {
		return nil, err
	}
	var c content
	if json.Unmarshal(text, &c) != nil || c.Version != version {
		return nil, fmt.Errorf("%s %w: this is no file of kubbi-mcp, or one of a later version", path, ErrDamaged)
	}
	ring, err := f.ring(ctx)
	if err != nil {
		return nil, err
	}
	key, err := ring.Key(c.Key, c.Secret, f.Purpose, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("%s %w: its master key is not in %s", path, ErrDamaged, f.keyring())
	}
	plain, err := key.OpenBytes(f.binding(name), c.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%s %w: it was changed, renamed, or brought from elsewhere", path, ErrDamaged)
	}
	return plain, nil
}

// Remove overwrites a file and removes it. A missing file is no error.
func (f Folder) Remove(name string) error {
	err := private.Remove(f.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Names are the names of the files of at least an age, in order. A missing folder has none.
// Names also removes what a process has left that died while it wrote or removed a file.
func (f Folder) Names(age time.Duration) (names []string, err error) {
	dir := filepath.Join(f.Data, f.Name)
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range all {
		name, ours := strings.CutSuffix(e.Name(), suffix)
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		switch old := time.Since(info.ModTime()); {
		case ours && old >= age:
			names = append(names, name)
		case !ours && strings.Contains(name, suffix+".") && old > leftAge:
			_ = private.Remove(filepath.Join(dir, name)) // the next call tries again
		}
	}
	return names, err
}

func (f Folder) binding(name string) []byte { return []byte(f.Name + "/" + name) }

func (f Folder) keyring() string { return filepath.Join(f.Data, keyringName) }

// ring reads the master keys, and makes one at the first use.
func (f Folder) ring(ctx context.Context) (*atrest.Keyring, error) {
	path := keyring.File(f.keyring())
	ring, err := keyring.Read(ctx, path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	for _, pattern := range []string{"*" + suffix, "*/*" + suffix} {
		sealed, err := fs.Glob(os.DirFS(f.Data), pattern)
		if err != nil {
			return nil, err
		}
		if len(sealed) == 0 {
			continue
		}
		ring, err := keyring.Read(ctx, path) // another process may have made both meanwhile
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is missing, and %s beside it is sealed under it: restore it from a backup, or remove all files *%s to start afresh without them", path, strings.Join(sealed, ", "), suffix)
		}
		return ring, err
	}
	if err := keyring.Make(path, rand.Reader, time.Now()); err != nil {
		return nil, err
	}
	return keyring.Read(ctx, path) // another process may have been first
}
