package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// forbidden are the permissions that a file must not grant: none here, since the access
// list, not the mode, says who can read the file.
func forbidden(fs.FileInfo) fs.FileMode { return 0 }

// giveTo does nothing: a new file gets the access list of its directory.
func giveTo(fs.FileInfo, string) error { return nil }

// MakeDir makes a directory that only this user, administrators and the system can use,
// and missing directories above it. Files in it get the same access list. Otherwise it would
// get the access list of its parent, which at the root of a drive lets every user read it.
func MakeDir(dir string) error {
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

// patience is how long another process may have a file open: the time to read it, or
// for a virus scanner to check it.
const patience = 2 * time.Second

// rename replaces a file. Windows can't replace an open file, so a reader delays it.
func rename(from, to string) error { return retried(func() error { return os.Rename(from, to) }) }

// open opens a file, also while it is being replaced.
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
