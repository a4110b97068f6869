package tools

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
	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/files"
)

// A save under way stands in a file of the state, which is locked until its
// temporary files are gone. If the process dies, the next one that starts finds
// the file unlocked and removes them.

// saveRecord is what such a file says.
type saveRecord struct {
	Folder string `json:"folder"` // absolute
	ID     string `json:"id"`     // in the names of the temporary files
}

// maxSaveRecord is its size in bytes, which a path bounds.
const maxSaveRecord = 64 << 10

// saving notes a save until the function that it gives is called, after the batch
// was closed.
func (s *State) saving(b *files.Batch) (ended func(), err error) {
	folder, err := filepath.Abs(b.Folder())
	if err != nil {
		return nil, err
	}
	record, err := json.Marshal(saveRecord{Folder: folder, ID: b.ID()})
	if err != nil {
		return nil, err
	}
	sweepSaves(filepath.Join(s.dir, savesName)) // a server may run for weeks
	f, err := s.openLocked(savesName, b.ID())
	for range 100 { // a process that starts is looking at it
		if !errors.Is(err, flock.ErrLocked) {
			break
		}
		time.Sleep(5 * time.Millisecond)
		f, err = s.openLocked(savesName, b.ID())
	}
	if err != nil {
		return nil, err
	}
	ended = func() { removeLocked(f) }
	if _, err = f.Write(record); err == nil {
		err = f.Sync()
	}
	if err != nil {
		ended()
		return nil, err
	}
	return ended, nil
}

// removeLocked removes a file before its lock goes with its closing. Windows
// removes no file that is open: it is emptied first.
func removeLocked(f *lockedFile) {
	err := os.Remove(f.path)
	if err != nil {
		_ = f.Truncate(0)
	}
	_ = f.Close()
	if err != nil {
		_ = os.Remove(f.path)
	}
}

// sweepSaves removes the temporary files of saves whose process has died.
func sweepSaves(dir string) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range all {
		if e.Type().IsRegular() {
			sweepSave(filepath.Join(dir, e.Name()))
		}
	}
}

func sweepSave(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	if flock.Try(f) != nil { // its process is alive
		f.Close()
		return
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSaveRecord))
	var record saveRecord
	if err == nil && json.Unmarshal(text, &record) == nil && record.ID == filepath.Base(path) {
		if err := files.RemoveTemporary(record.Folder, record.ID); err != nil && !folderGone(record.Folder, err) {
			f.Close() // the next start tries again
			return
		}
		removeIfOwn(record.Folder, filepath.Join(filepath.Dir(filepath.Dir(path)), receivedName))
	}
	removeLocked(&lockedFile{f, path})
}

// folderGone reports whether an error says that a folder was removed. One that is
// missing together with the folder above it may be on a drive that comes back.
func folderGone(folder string, err error) bool {
	_, above := os.Stat(filepath.Dir(folder))
	return errors.Is(err, fs.ErrNotExist) && above == nil
}

// removeIfOwn removes an empty folder that was made for a claim in the server's
// own.
func removeIfOwn(folder, received string) {
	if filepath.Dir(folder) != received {
		return
	}
	root, err := os.OpenRoot(received)
	if err != nil {
		return
	}
	defer root.Close()
	_ = disk.Remove(root, filepath.Base(folder)) // fails if there is something in it
}

// keepAnswer writes the answer of a service that gives it once into a folder of the
// server's own, where it stays for a day.
func (s *State) keepAnswer(got *kubbi.Claimed) (path string, err error) {
	dir, err := s.received()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "answer.json")
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
