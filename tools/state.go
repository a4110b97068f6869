package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/internal/flock"
	"kubbi-mcp/internal/spool"
)

// State is the folder in which a claim keeps what must not be lost: its key
// while it is under way, and what was claimed into the server's own folder. What a
// claim receives is encrypted there under a key in memory until it is saved, and
// the folders of saves under way are noted, for half files to be removed.
// All of it is for its owner alone to read. Any number of processes may share
// one. The zero value is not usable; see NewState.
type State struct {
	dir string

	mu     sync.Mutex
	opened bool
}

// The folders in a state's, and for how long what is left in them stays.
const (
	keysName     = "claims"
	spoolName    = "spool"
	savesName    = "saves"
	receivedName = "received"

	keysKept     = time.Hour           // no relay keeps a payload for its claim for longer
	spoolKept    = 0                   // a spool in use has no name, or can't be removed
	savesKept    = 30 * 24 * time.Hour // a folder may be on a drive that is not plugged in
	receivedKept = 24 * time.Hour
)

// NewState gives the state in a folder. Nothing is touched before the first
// claim needs it.
func NewState(dir string) *State { return &State{dir: dir} }

// open makes the folders at the first use, and takes away what earlier processes
// left in them.
func (s *State) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		return nil
	}
	for _, name := range []string{keysName, spoolName, savesName, receivedName} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			return fmt.Errorf("open the folder for claims under way: %w", err)
		}
	}
	s.Sweep()
	s.opened = true
	return nil
}

// Sweep takes away what earlier processes left: spools, the half files of saves
// that did not end, and what has had its time. It makes no folder.
func (s *State) Sweep() {
	sweepSaves(filepath.Join(s.dir, savesName))
	for name, kept := range map[string]time.Duration{keysName: keysKept, spoolName: spoolKept, savesName: savesKept, receivedName: receivedKept} {
		sweep(filepath.Join(s.dir, name), time.Now().Add(-kept))
	}
}

// sweep removes what was last changed before a time. What can't be removed now
// is tried at the next start.
func sweep(dir string, before time.Time) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range all {
		if info, err := e.Info(); err == nil && info.ModTime().Before(before) {
			_ = disk.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

// spool makes a place for the answer to a claim. Only this process can read it.
func (s *State) spool() (*spool.Spool, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	return spool.NewFile(filepath.Join(s.dir, spoolName))
}

// received makes a folder of its own for a claimed payload.
func (s *State) received() (string, error) {
	if err := s.open(); err != nil {
		return "", err
	}
	dir := filepath.Join(s.dir, receivedName)
	sweep(dir, time.Now().Add(-receivedKept)) // a server may run for weeks
	return os.MkdirTemp(dir, time.Now().UTC().Format("20060102-150405-"))
}

// openKey opens the file of a claim's key to read what is in it.
func (s *State) openKey(name string) (*os.File, error) {
	return os.Open(filepath.Join(s.dir, keysName, name))
}

// lockedFile is a file that has one owner. The lock goes with the file's closing, and
// so with the process.
type lockedFile struct {
	*os.File
	path string
}

// openLocked opens a file in one of the state's folders, made if it is missing, for
// one owner at a time: flock.ErrLocked, if there is another.
func (s *State) openLocked(folder, name string) (*lockedFile, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, folder, name)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock.Try(f); err != nil {
			f.Close()
			return nil, err
		}
		// Whoever had it before may have removed it.
		switch same, err := named(f, path); {
		case err != nil:
			f.Close()
			return nil, err
		case same:
			return &lockedFile{f, path}, nil
		}
		f.Close()
	}
}

func named(f *os.File, path string) (bool, error) {
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return os.SameFile(open, there), err
}
