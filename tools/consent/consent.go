// Package consent remembers which folders a user has allowed agents to use when asked.
// The file is in the data directory, and any number of processes share it: what one
// writes, the others see at their next call.
package consent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"kubbi-mcp/internal/private"
	"kubbi-mcp/tools/files"
)

// Access is what a folder is allowed for.
type Access string

// The two kinds of access.
const (
	Read  Access = "read"  // to send files from
	Write Access = "write" // to save files into
)

// Consent is a user's permission for agents to use a folder.
type Consent struct {
	Folder    string    `json:"folder"` // absolute, without symbolic links
	Access    Access    `json:"access"`
	Project   string    `json:"project"` // for which it was given: an absolute path
	AllowedAt time.Time `json:"allowed_at"`
}

// Store is the file of consents.
type Store struct{ path string }

// NewStore gives the store in a data directory. It touches nothing before the first use.
func NewStore(dir string) *Store { return &Store{path: filepath.Join(dir, "folders.json")} }

const (
	version     = 1
	maxConsents = 1000
	maxSize     = 1 << 20         // bytes of the file, which package private reads
	lockTimeout = 5 * time.Second // for another process
)

type content struct {
	Version int       `json:"version"`
	Folders []Consent `json:"folders"`
}

// List gives all consents, oldest first.
func (s *Store) List() ([]Consent, error) {
	b, err := private.Read(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the allowed folders: %w", err)
	}
	return s.parse(b)
}

func (s *Store) parse(b []byte) ([]Consent, error) {
	var c content
	if err := json.Unmarshal(b, &c); err != nil || c.Version != version {
		return nil, fmt.Errorf("read the allowed folders: %s is not a file of this version of kubbi-mcp; remove it, and the folders will be asked for again", s.path)
	}
	return c.Folders, nil
}

// Allows reports whether the user has allowed a folder, or one that it is in, for that
// access and project. The folder is given without symbolic links.
func (s *Store) Allows(folder string, access Access, project string) (bool, error) {
	all, err := s.List()
	return slices.ContainsFunc(all, func(c Consent) bool {
		return c.Access == access && c.Project == project && filepath.IsAbs(c.Folder) && files.Within(folder, c.Folder)
	}), err
}

// Add remembers a consent. If there are too many, the oldest ones go.
func (s *Store) Add(c Consent) error {
	c.AllowedAt = c.AllowedAt.UTC().Truncate(time.Second)
	return s.edit(func(all []Consent) []Consent {
		return append(slices.DeleteFunc(all, func(other Consent) bool {
			return c.Folder == other.Folder && c.Access == other.Access && c.Project == other.Project
		}), c)
	})
}

// Revoke removes the consents that match, and gives them.
func (s *Store) Revoke(match func(Consent) bool) (revoked []Consent, err error) {
	err = s.edit(func(all []Consent) (kept []Consent) {
		for _, c := range all {
			if match(c) {
				revoked = append(revoked, c)
			} else {
				kept = append(kept, c)
			}
		}
		return kept
	})
	return revoked, err
}

// edit replaces the file while no other process does.
func (s *Store) edit(edit func([]Consent) []Consent) error {
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	err := private.MakeDir(filepath.Dir(s.path))
	if err == nil {
		_, err = private.Create(s.path, encode(nil))
	}
	if err == nil {
		err = private.Edit(ctx, s.path, func(old []byte) ([]byte, error) {
			all, err := s.parse(old)
			if err != nil {
				return nil, err
			}
			all = edit(all)
			slices.SortStableFunc(all, func(a, b Consent) int { return cmp.Compare(a.AllowedAt.Unix(), b.AllowedAt.Unix()) })
			all = all[max(0, len(all)-maxConsents):]
			b := encode(all)
			for len(b) > maxSize { // paths are long
				all = all[len(all)/2:]
				b = encode(all)
			}
			return b, nil
		})
	}
	if err != nil {
		return fmt.Errorf("remember the allowed folders: %w", err)
	}
	return nil
}

func encode(all []Consent) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(content{Version: version, Folders: all}) // it holds nothing that can't be encoded
	return b.Bytes()
}
