package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kubbi-mcp/internal/remove"
)

// State is the folder in which a claim keeps what must not be lost: its key
// while it is under way, the answer of a service that gives it only once, and
// what was claimed into the server's own folder.
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
	receivedName = "received"

	keysKept     = time.Hour      // no relay keeps a payload for its claim for longer
	spoolKept    = 24 * time.Hour // as long as a kubbi may live
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
	for name, kept := range map[string]time.Duration{keysName: keysKept, spoolName: spoolKept, receivedName: receivedKept} {
		dir := filepath.Join(s.dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("open the folder for claims under way: %w", err)
		}
		sweep(dir, time.Now().Add(-kept))
	}
	s.opened = true
	return nil
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
			_ = remove.All(filepath.Join(dir, e.Name()))
		}
	}
}

// spool makes a file for the answer to a claim.
func (s *State) spool() (*os.File, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	return os.CreateTemp(filepath.Join(s.dir, spoolName), "claim-*.json")
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

// errLocked says that another claim has the file.
var errLocked = errors.New("locked")

// openLocked opens a file of claims under way, made if it is missing, for one
// claim at a time: errLocked, if there is another. The lock goes with the file's
// closing, and so with the process.
func (s *State) openLocked(name string) (*os.File, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, keysName, name)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lock(f); err != nil {
			f.Close()
			return nil, err
		}
		// Whoever had it before may have removed it.
		if same, err := named(f, path); same || err != nil {
			return f, err
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
