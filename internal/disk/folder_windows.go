package disk

// Windows writes the names of a folder back by itself and has no call for it.
func syncFolder(string) error { return nil }
