package files

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"kubbi-mcp/internal/disk"
)

// A file that is being written has no name where the system can do that: if the process
// dies, nothing of it is left. Elsewhere it has a temporary name: .kubbi-, 16 characters
// of its batch, 10 of its own, and .tmp.
const (
	tempPrefix = ".kubbi-"
	idLength   = 16
)

var tempRule = regexp.MustCompile(`^\.kubbi-[A-Z2-7]{26}\.tmp$`)

func newID() string { return rand.Text()[:idLength] }

func (b *Batch) tempName() string {
	return tempPrefix + b.id + rand.Text()[:26-idLength] + ".tmp"
}

// ID is what the names of the batch's temporary files have in common. If this process
// dies, another one can remove them with it: see RemoveTemporary.
func (b *Batch) ID() string { return b.id }

// Folder is the one that the batch writes into.
func (b *Batch) Folder() string { return b.path }

// begin makes a file to write into. temp is "" if it has no name.
func (b *Batch) begin() (f *os.File, temp string, err error) {
	if !b.noUnnamed {
		if dir, err := b.dir.Open("."); err == nil {
			f, err := openUnnamed(dir)
			dir.Close()
			if err == nil {
				return f, "", nil
			}
		}
	}
	temp = b.tempName()
	f, err = b.create(temp)
	return f, temp, err
}

func (b *Batch) create(name string) (*os.File, error) {
	return b.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// link gives a staged file a name that nothing has.
func (b *Batch) link(s *staged, to string) error {
	if b.noLinks {
		return errors.ErrUnsupported
	}
	if s.file == nil {
		return b.dir.Link(s.temp, to)
	}
	dir, err := b.dir.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := linkUnnamed(s.file, dir, filepath.Base(to)); err != nil {
		return &fs.PathError{Op: "link", Path: to, Err: err}
	}
	return nil
}

// giveTemp gives a file without a name a temporary one. If it can't be linked it is
// copied: it has cost a retrieval.
func (b *Batch) giveTemp(s *staged) error {
	if s.file == nil {
		return nil
	}
	temp := b.tempName()
	if err := b.link(s, temp); err != nil {
		if cerr := b.copyTo(temp, s.file); cerr != nil {
			return errors.Join(err, cerr)
		}
	}
	s.temp = temp
	return s.close()
}

func (b *Batch) copyTo(temp string, from *os.File) error {
	f, err := b.create(temp)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(from, 0, math.MaxInt64))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, disk.Remove(b.dir, temp))
	}
	return nil
}

// close closes a file without a name. Unless it was given one, that removes it.
func (s *staged) close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}

// discard removes a staged file, apart from the names that it was given.
func (b *Batch) discard(s *staged) error {
	err := s.close()
	if s.temp == "" {
		return err
	}
	if rerr := disk.Remove(b.dir, s.temp); !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	s.temp = ""
	return err
}

// tempKept is the age from which a temporary file counts as left over.
const tempKept = 24 * time.Hour

// sweep removes what killed processes have left in the folder.
func (b *Batch) sweep() {
	_ = removeTemporary(b.dir, maxEntries, func(name string) bool {
		info, err := b.dir.Lstat(name)
		return err == nil && time.Since(info.ModTime()) > tempKept
	})
}

// RemoveTemporary removes the temporary files of a batch from a folder, and nothing
// else.
func RemoveTemporary(folder, id string) error {
	if len(id) != idLength {
		return errors.New("not a batch's id")
	}
	dir, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	return errors.Join(removeTemporary(dir, math.MaxInt, func(name string) bool { return strings.HasPrefix(name, tempPrefix+id) }), dir.Close())
}

// removeTemporary removes the temporary files that match, among about the first most
// entries of a folder.
func removeTemporary(root *os.Root, most int, match func(name string) bool) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	var errs []error
	for seen := 0; seen < most; {
		some, err := dir.ReadDir(1000)
		seen += len(some)
		for _, e := range some {
			if !e.Type().IsRegular() || !tempRule.MatchString(e.Name()) || !match(e.Name()) {
				continue
			}
			if err := disk.Remove(root, e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		if err != nil {
			if err != io.EOF {
				errs = append(errs, err)
			}
			break
		}
	}
	return errors.Join(errs...)
}
