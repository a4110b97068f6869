package hostfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/internal/private"
)

const maxFile = 8 << 20 // bytes; Claude Code's file has its history of projects

// Read reads a host's configuration file. If there is none, it gives nothing.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %s", path, disk.MiB(maxFile))
	}
	return b, err
}

// Write replaces a file that held before by after, in one step, and durably. What it held is
// kept beside it in the file that Write returns; "": there was nothing. If the file holds
// something else by now, for example because the host has written it, nothing is changed. A
// symbolic link stays one. A new file is private, since it may get an API key.
func Write(path string, before, after []byte, now time.Time) (backup string, err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	current, err := Read(path)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(current, before) {
		return "", fmt.Errorf("%s has changed in the meantime, and was left alone: try again", path)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil:
		backup = path + now.Format(".20060102-150405.bak")
		if err := private.Replace(backup, before, info); err != nil {
			return "", err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	default:
		info = nil
		if err := private.MakeDir(filepath.Dir(path)); err != nil {
			return "", err
		}
	}
	return backup, private.Replace(path, after, info)
}
