package private

import "io/fs"

// forbidden gives the permissions that a file must not grant: here its access
// list, which a mode does not show, says who may read it.
func forbidden(fs.FileInfo) fs.FileMode { return 0 }

// giveTo does nothing: what is made in a directory gets the directory's access list.
func giveTo(fs.FileInfo, string) error { return nil }
