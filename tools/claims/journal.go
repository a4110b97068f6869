package claims

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/internal/flock"
	"kubbi-mcp/tools/files"
)

// The journal has a file for each save under way. It is locked until the save's temporary
// files are gone. If the process dies, the next one that starts or saves finds the file
// unlocked and removes them.

// journalEntry is what such a file says.
type journalEntry struct {
	Folder string `json:"folder"` // absolute
	ID     string `json:"id"`     // in the names of the temporary files
}

const maxJournalEntry = 64 << 10 // bytes

// journal records a save. ended removes the record; it is called after the batch was
// closed.
func (s *State) journal(b *files.Batch) (ended func(), err error) {
	folder, err := filepath.Abs(b.Folder())
	if err != nil {
		return nil, err
	}
	entry, err := json.Marshal(journalEntry{Folder: folder, ID: b.ID()})
	if err != nil {
		return nil, err
	}
	s.sweepJournal() // a server may run for weeks
	f, err := s.openLocked(journalFolder, b.ID())
	for try := 0; errors.Is(err, flock.ErrLocked) && try < 100; try++ { // another process, which starts, is reading it
		time.Sleep(5 * time.Millisecond)
		f, err = s.openLocked(journalFolder, b.ID())
	}
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(entry); err == nil {
		err = f.Sync()
	}
	if err != nil {
		f.remove()
		return nil, err
	}
	return f.remove, nil
}

// sweepJournal removes the temporary files of saves whose process has died.
func (s *State) sweepJournal() {
	all, err := os.ReadDir(s.path(journalFolder))
	if err != nil {
		return
	}
	for _, e := range all {
		if e.Type().IsRegular() {
			s.sweepEntry(e.Name())
		}
	}
}

func (s *State) sweepEntry(name string) {
	path := s.path(journalFolder, name)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	if flock.Try(f) != nil { // its process is alive
		f.Close()
		return
	}
	text, err := io.ReadAll(io.LimitReader(f, maxJournalEntry))
	var entry journalEntry
	if err == nil && json.Unmarshal(text, &entry) == nil && entry.ID == name {
		if err := files.RemoveTemporary(entry.Folder, entry.ID); err != nil && !folderRemoved(entry.Folder, err) {
			f.Close() // the next start tries again
			return
		}
		s.removeReceived(entry.Folder)
	}
	(&lockedFile{f, path}).remove()
}

// folderRemoved reports whether an error says that a folder was removed. If the folder
// above it is missing as well, it may be on a drive that comes back.
func folderRemoved(folder string, err error) bool {
	_, above := os.Stat(filepath.Dir(folder))
	return errors.Is(err, fs.ErrNotExist) && above == nil
}

// removeReceived removes a received folder if it is empty, and no other folder.
func (s *State) removeReceived(folder string) {
	if filepath.Dir(folder) != s.path(receivedFolder) {
		return
	}
	root, err := os.OpenRoot(s.path(receivedFolder))
	if err != nil {
		return
	}
	defer root.Close()
	_ = disk.Remove(root, filepath.Base(folder)) // fails if there is something in it
}
