package tools

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"kubbi-mcp/internal/flock"
	"kubbi-mcp/tools/files"
)

// Access is what a folder was allowed for.
type Access string

// The two kinds of access.
const (
	Read  Access = "read"  // to send files from
	Write Access = "write" // to save files into
)

// Consent is a user's word that agents may use a folder.
type Consent struct {
	Folder    string    `json:"folder"` // absolute, without symbolic links
	Access    Access    `json:"access"`
	Project   string    `json:"project"` // for which it was given: an absolute path
	AllowedAt time.Time `json:"allowed_at"`
}

// Consents are the folders that the user has allowed when asked, in a file of the
// data directory that any number of processes share. What one writes, the others
// see at their next call.
type Consents struct{ dir string }

// NewConsents gives the consents in a data directory. Nothing is touched before
// the first use.
func NewConsents(dir string) *Consents { return &Consents{dir: dir} }

const (
	consentsName    = "folders.json"
	consentsLock    = "folders.lock"
	maxConsents     = 1000
	maxConsentsSize = 4 << 20         // bytes of the file
	consentsWait    = 5 * time.Second // for another process
)

type consentsFile struct {
	Version int       `json:"version"`
	Folders []Consent `json:"folders"`
}

// List gives all consents, oldest first.
func (c *Consents) List() ([]Consent, error) {
	path := filepath.Join(c.dir, consentsName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the allowed folders: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the allowed folders: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("read the allowed folders: others may write %s; run chmod 600 on it", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxConsentsSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the allowed folders: %w", err)
	}
	var all consentsFile
	if err := json.Unmarshal(b, &all); err != nil || len(b) > maxConsentsSize || all.Version != 1 {
		return nil, fmt.Errorf("read the allowed folders: %s is not a file of this version of kubbi-mcp; remove it, and the folders will be asked for again", path)
	}
	return all.Folders, nil
}

// Allows reports whether a folder, given without symbolic links, is one that the
// user has allowed for that access and project, or is inside one.
func (c *Consents) Allows(folder string, access Access, project string) (bool, error) {
	all, err := c.List()
	return slices.ContainsFunc(all, func(k Consent) bool {
		return k.Access == access && k.Project == project && filepath.IsAbs(k.Folder) && files.Within(folder, k.Folder)
	}), err
}

// Add remembers a consent. The oldest go where there are too many.
func (c *Consents) Add(k Consent) error {
	k.AllowedAt = k.AllowedAt.UTC().Truncate(time.Second)
	return c.change(func(all []Consent) []Consent {
		all = slices.DeleteFunc(all, k.same)
		return append(all[max(0, len(all)-maxConsents+1):], k)
	})
}

func (k Consent) same(other Consent) bool {
	return k.Folder == other.Folder && k.Access == other.Access && k.Project == other.Project
}

// Revoke takes back the consents that match says, and gives them.
func (c *Consents) Revoke(match func(Consent) bool) (revoked []Consent, err error) {
	err = c.change(func(all []Consent) []Consent {
		return slices.DeleteFunc(all, func(k Consent) bool {
			if !match(k) {
				return false
			}
			revoked = append(revoked, k)
			return true
		})
	})
	return revoked, err
}

// change writes the file anew, while no other process does.
func (c *Consents) change(edit func([]Consent) []Consent) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("remember the allowed folders: %w", err)
	}
	unlock, err := c.lock()
	if err != nil {
		return fmt.Errorf("remember the allowed folders: %w", err)
	}
	defer unlock()
	all, err := c.List()
	if err != nil {
		return err
	}
	all = edit(all)
	slices.SortStableFunc(all, func(a, b Consent) int { return cmp.Compare(a.AllowedAt.Unix(), b.AllowedAt.Unix()) })
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(consentsFile{Version: 1, Folders: all}); err != nil {
		return fmt.Errorf("remember the allowed folders: %w", err)
	}
	if err := replace(filepath.Join(c.dir, consentsName), b.Bytes()); err != nil {
		return fmt.Errorf("remember the allowed folders: %w", err)
	}
	return nil
}

func (c *Consents) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, consentsLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(consentsWait); ; time.Sleep(10 * time.Millisecond) {
		if err = flock.Try(f); err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, flock.ErrLocked) || time.Now().After(end) {
			f.Close()
			return nil, err
		}
	}
}

// replace puts a file in the place of another, whole or not at all.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // for its owner alone
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
		// Windows refuses it while another process reads the old one.
		for end := time.Now().Add(consentsWait); runtime.GOOS == "windows" && err != nil && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
			err = os.Rename(f.Name(), path)
		}
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
