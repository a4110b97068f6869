package tools

// ContentType gives the content type that send_files would give a file of that
// name, for callers who send files by other ways than the tool. binary tells
// whether the content is anything but text.
func ContentType(name string, binary bool) string { return typeOf(name, binary) }
