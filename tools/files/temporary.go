package files

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"regexp"
	"strings"
	"time"

	"kubbi-mcp/internal/disk"
)

// A temporary file is named .kubbi-, 16 characters of its batch, 10 of its own, and
// .tmp.
const (
	tempPrefix = ".kubbi-"
	idLength   = 16
)

var tempRule = regexp.MustCompile(`^\.kubbi-[A-Z2-7]{26}\.tmp$`)

func newID() string { return rand.Text()[:idLength] }

func (b *Batch) tempName() string {
	return tempPrefix + b.id + rand.Text()[:26-idLength] + ".tmp"
}

// ID is what the names of the batch's temporary files have in common. With it
// another process can remove them, if this one dies: see RemoveTemporary.
func (b *Batch) ID() string { return b.id }

// Folder is the one that the batch writes into.
func (b *Batch) Folder() string { return b.path }

// tempKept is after which time a temporary file of a batch that nobody knows is
// nobody's any more.
const tempKept = 24 * time.Hour

// sweep takes away what processes that were killed have left in the folder.
func (b *Batch) sweep() {
	_ = removeTemporary(b.dir, maxEntries, func(name string) bool {
		info, err := b.dir.Lstat(name)
		return err == nil && time.Since(info.ModTime()) > tempKept
	})
}

// RemoveTemporary removes the temporary files of a batch that was in a folder, and
// nothing else.
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

// removeTemporary removes the temporary files that match among the first entries of
// a folder, about as many as most.
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
		if err == io.EOF {
			return errors.Join(errs...)
		}
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}
