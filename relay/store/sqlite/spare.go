package sqlite

import (
	"errors"
	"io/fs"
	"os"
)

// spareBytes is how long the spare file is: room for a short log, where the store is
// opened on a disk that is full. SQLite removes the log when the last process closes
// the store, and its room may be gone.
const spareBytes = 4 << 20

// A short log, and at how many pages it is moved into the data base.
const (
	shortLog   = 3 << 20
	shortPages = 200
)

func sparePath(path string) string { return beside(path, ".spare") }

// makeSpare makes the spare file, unless it is there.
func makeSpare(path string) error {
	name := sparePath(path)
	if info, err := os.Stat(name); err == nil && info.Size() >= spareBytes {
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, spareBytes))
	return errors.Join(err, f.Sync(), f.Close())
}

// spendSpare lets go of the spare file.
func spendSpare(path string) error {
	if err := os.Remove(sparePath(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
