package api

import "strings"

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
