package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/windows"
)

// native gives a path as Windows has it. A path from the root without a drive
// depends on the drive that this process happens to be on, which an agent does
// not know, and so does C:name without a separator: both are refused. The form
// of Git Bash and MSYS, /c/Users, has only one reading.
func native(path string) (string, bool) {
	if filepath.IsAbs(path) {
		return path, true
	}
	if filepath.VolumeName(path) != "" {
		return "", false
	}
	if path == "" || !os.IsPathSeparator(path[0]) {
		return path, true
	}
	drive, rest := path[1:], ""
	if i := strings.IndexFunc(drive, isSeparator); i >= 0 {
		drive, rest = drive[:i], drive[i:]
	}
	if path[0] != '/' || len(drive) != 1 || !strings.Contains("abcdefghijklmnopqrstuvwxyz", strings.ToLower(drive)) {
		return "", false
	}
	return strings.ToUpper(drive) + `:` + filepath.FromSlash(rest+"/"), true
}

// wholeName refuses a short name such as PROGRA~1: it stands for another name,
// and that one may be hidden.
func wholeName(dir *os.Root, name string) error {
	stem, ending, _ := strings.Cut(name, ".")
	if !strings.Contains(stem, "~") || len(stem) > 8 || len(ending) > 3 {
		return nil
	}
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	all, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(n string) bool { return strings.EqualFold(n, name) }) {
		return refuse("%s is a short form of a longer name: give the whole name", quote(name))
	}
	return nil
}

// invalidName reports whether an error says that a name holds a character that
// Windows allows in none, such as an asterisk.
func invalidName(err error) bool { return errors.Is(err, windows.ERROR_INVALID_NAME) }

const nonblock = 0

// links is known only once a file is open: see onDisk.
func links(fs.FileInfo) uint64 { return 1 }

// onDisk refuses a file with a second name, unless hard links are allowed.
func onDisk(f *os.File, hardLinks bool) error {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if !hardLinks && info.NumberOfLinks > 1 {
		return secondName(f.Name())
	}
	return nil
}

func openUnnamed(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

func linkUnnamed(_, _ *os.File, _ string) error { return errors.ErrUnsupported }
