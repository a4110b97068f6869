package files

import (
	"os"

	"golang.org/x/sys/windows"
)

// onDisk refuses a file with a second name, unless hard links are allowed. Windows counts a file's names only
// once it is open.
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
