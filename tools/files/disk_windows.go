package files

import (
	"os"

	"golang.org/x/sys/windows"
)

// onDisk refuses a file with a second name. Windows counts a file's names only
// once it is open.
func onDisk(f *os.File) error {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if info.NumberOfLinks > 1 {
		return secondName(f.Name())
	}
	return nil
}
