package disk

import (
	"io"
	"os"
)

// Overwrite replaces a file's content by zeros, before the file is removed. If that fails, the
// file stays as it was, or partly so.
func Overwrite(file *os.File) {
	info, err := file.Stat()
	if err != nil {
		return
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return
	}
	if _, err := io.CopyN(file, zeros{}, info.Size()); err == nil {
		_ = file.Sync()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
