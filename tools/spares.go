package tools

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
)

// spares are files of keys that are needed no more, emptied and still locked. The next
// claim gives one of them its name: a file system takes many times as long to make a
// file where many were removed a moment ago (ext4 looks at each of these first). They
// are removed when nothing was claimed for some seconds. A process that claims once
// leaves none.
type spares struct {
	mu    sync.Mutex
	files []*lockedFile
	begun bool // there was a first one
	ended bool
	idle  *time.Timer // removes them
}

const (
	maxSpares = 4 // for as many claims at once as one agent makes
	spareFor  = 3 * time.Second
)

// take names a spare. It gives nothing where there is none, or a file has that name.
func (s *spares) take(state *State, name string) (*lockedFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.files) == 0 {
		return nil, nil
	}
	last := len(s.files) - 1
	f := s.files[last]
	path := filepath.Join(state.dir, keysName, name)
	if err := renameNew(f.path, path); err != nil {
		if !os.IsExist(err) { // it was swept, or can't be renamed
			s.files = s.files[:last]
			removeLocked(f)
		}
		return nil, nil
	}
	s.files = s.files[:last]
	f.path = path
	return f, nil
}

// put takes a file whose key is needed no more.
func (s *spares) put(f *lockedFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Join(filepath.Dir(f.path), "spare-"+uuid.NewString())
	if !s.begun || s.ended || len(s.files) == maxSpares || f.Truncate(0) != nil || renameNew(f.path, path) != nil {
		s.begun = true
		removeLocked(f)
		return
	}
	f.path = path
	s.files = append(s.files, f)
	if s.idle == nil {
		s.idle = time.AfterFunc(spareFor, s.remove)
	} else {
		s.idle.Reset(spareFor)
	}
}

// close removes them all, and keeps none from now on.
func (s *spares) close() {
	s.mu.Lock()
	s.ended = true
	if s.idle != nil {
		s.idle.Stop()
	}
	s.mu.Unlock()
	s.remove()
}

// remove removes them all.
func (s *spares) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		removeLocked(f)
	}
	s.files = nil
}
