package secretfiles

import "io/fs"

// own tells whether a file is this user's: the folder for temporary files is.
func own(fs.FileInfo) bool { return true }
