package httpguard

import "path"

// CleanPath reports whether a mux serves a request's path as it is. A mux redirects every
// other path and repeats it in the answer's body, although it may hold a claim token.
func CleanPath(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	c := path.Clean(p)
	return p == c || (c != "/" && p == c+"/")
}
