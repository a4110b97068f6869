package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// forbidden gives the permissions that a file must not grant: here its access
// list, which a mode does not show, says who may read it.
func forbidden(fs.FileInfo) fs.FileMode { return 0 }

// giveTo does nothing: what is made in a directory gets the directory's access list.
func giveTo(fs.FileInfo, string) error { return nil }

// makeDir makes a directory that this user, administrators and the system may
// use, and what is made in it gets the same access list. Without one of its own
// it would get that of the folder it is in, which at the root of a drive lets
// every user read it.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("make %s private: %w", dir, err)
	}
	list, err := windows.SecurityDescriptorFromString("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;" + user.User.Sid.String() + ")")
	if err != nil {
		return fmt.Errorf("make %s private: %w", dir, err)
	}
	dacl, _, err := list.DACL()
	if err == nil {
		err = windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT,
			windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
	}
	// A file system such as FAT has no access lists.
	if err != nil && !errors.Is(err, windows.ERROR_NOT_SUPPORTED) && !errors.Is(err, windows.ERROR_INVALID_FUNCTION) {
		return fmt.Errorf("make %s private: %w", dir, err)
	}
	return nil
}

// patience is how long a file may be in the way because another process has it
// open: for as long as it takes to read it, or as a virus scanner looks at it.
const patience = 2 * time.Second

// rename replaces a file. Windows replaces none that is open, so a reader holds
// that up for a moment.
func rename(from, to string) error { return retried(func() error { return os.Rename(from, to) }) }

// open opens a file, also one that is being replaced.
func open(path string) (f *os.File, err error) {
	err = retried(func() error {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

func retried(do func() error) error {
	for until := time.Now().Add(patience); ; {
		err := do()
		inTheWay := errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION)
		if !inTheWay || !time.Now().Before(until) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
