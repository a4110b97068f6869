package api

import (
	"fmt"
	"strings"
)

// FileNameFault says what is wrong with the name of a file in a package, of at
// most limit bytes; "" for nothing.
func FileNameFault(name string, limit int) string {
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > limit:
		return fmt.Sprintf("must be at most %d characters", limit)
	case !alphanumeric(name[0]):
		return "must start with a letter or a digit"
	case strings.Contains(name, ".."):
		return "must not contain .."
	case !plainWord(name, "._-"):
		return "may only have the characters a-z A-Z 0-9 . _ -"
	}
	return ""
}

// IsMIME reports whether s is type/subtype, each a name of RFC 6838 4.2: a
// file's content type has no parameters.
func IsMIME(s string) bool {
	const most, marks = 127, "!#$&-^_.+"
	kind, sub, _ := strings.Cut(s, "/")
	return len(kind) <= most && len(sub) <= most && plainWord(kind, marks) && plainWord(sub, marks)
}

// plainWord reports whether s starts with a letter or digit of ASCII and has
// only these and marks.
func plainWord(s, marks string) bool {
	for i := range len(s) {
		if !alphanumeric(s[i]) && (i == 0 || strings.IndexByte(marks, s[i]) < 0) {
			return false
		}
	}
	return s != ""
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
