package claims

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
	"kubbi-mcp/kubbi"
)

// State is the folder in which claims keep what must not be lost: their keys, the
// journal of saves, what they receive (encrypted under a key in memory until it is
// saved), and the payloads that were saved in the server's own folder. Everything is
// for its owner alone. Any number of processes may share one.
type State struct {
	dir string

	mu     sync.Mutex
	opened bool
}

// The folders in a state.
const (
	keysFolder     = "claims"
	spoolFolder    = "spool"
	journalFolder  = "saves"
	receivedFolder = "received"
)

// keysKept is for how long a key is kept: no relay keeps a payload for its claim for longer.
const keysKept = time.Hour

// keptFor says for how long what an earlier process left in a folder stays.
var keptFor = map[string]time.Duration{
	keysFolder:     keysKept,
	spoolFolder:    0,                   // a spool in use has no name, or can't be removed
	journalFolder:  30 * 24 * time.Hour, // a folder may be on a drive that is not plugged in
	receivedFolder: 24 * time.Hour,
}

// NewState gives the state in a folder. It touches nothing before the first claim needs
// it.
func NewState(dir string) *State { return &State{dir: dir} }

func (s *State) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

// open makes the folders at the first use and sweeps them.
func (s *State) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		return nil
	}
	for name := range keptFor {
		if err := os.MkdirAll(s.path(name), 0o700); err != nil {
			return fmt.Errorf("open the folder for claims under way: %w", err)
		}
	}
	s.Sweep()
	s.opened = true
	return nil
}

// Sweep removes what earlier processes left: spools, the temporary files of saves that
// did not end, and what has had its time. It makes no folder.
func (s *State) Sweep() {
	s.sweepJournal()
	for folder := range keptFor {
		s.sweep(folder)
	}
}

// sweep removes from a folder everything that was last changed longer ago than it is kept.
// The next start tries again what can't be removed now.
func (s *State) sweep(folder string) {
	all, err := os.ReadDir(s.path(folder))
	if err != nil {
		return
	}
	for _, e := range all {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > keptFor[folder] {
			_ = disk.RemoveAll(s.path(folder, e.Name()))
		}
	}
}

// spool makes a file for the answer to a claim. Only this process can read it.
func (s *State) spool() (*spool.Spool, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	return spool.NewFile(s.path(spoolFolder))
}

// received makes a folder for one claimed payload.
func (s *State) received() (string, error) {
	if err := s.open(); err != nil {
		return "", err
	}
	s.sweep(receivedFolder) // a server may run for weeks
	return os.MkdirTemp(s.path(receivedFolder), time.Now().UTC().Format("20060102-150405-"))
}

// keepAnswer writes the answer of a service that gives it once into a received folder.
func (s *State) keepAnswer(got *kubbi.Claimed) (path string, err error) {
	if s == nil {
		return "", errors.New("there is no data directory")
	}
	dir, err := s.received()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, kubbi.AnswerName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = got.WriteAnswer(f)
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		if rerr := disk.RemoveAll(dir); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		return "", err
	}
	return path, nil
}

// lockedFile is a file with one owner. Closing it, or the end of the process, ends the
// lock.
type lockedFile struct {
	*os.File
	path string
}

// openLocked opens a file in one of the state's folders, and makes it if it is missing.
// If it has an owner, the error is flock.ErrLocked.
func (s *State) openLocked(folder, name string) (*lockedFile, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	path := s.path(folder, name)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		same := false
		if err = flock.Try(f); err == nil {
			same, err = isAt(path, f) // its last owner may have removed it
		}
		if same {
			return &lockedFile{f, path}, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

func isAt(path string, f *os.File) (bool, error) {
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

// remove removes the file before closing it ends the lock. Windows removes no open file,
// so there it is emptied first.
func (f *lockedFile) remove() {
	err := os.Remove(f.path)
	if err != nil {
		_ = f.Truncate(0)
	}
	_ = f.Close()
	if err != nil {
		_ = os.Remove(f.path)
	}
}
