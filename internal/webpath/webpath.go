// Package webpath checks the paths of requests before a mux does.
package webpath

import "path"

// Clean reports whether a mux serves a request's path as it is. A mux redirects other
// paths to the clean path and writes it into the body of the answer. The path may hold
// a claim token.
func Clean(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	c := path.Clean(p)
	return p == c || (c != "/" && p == c+"/")
}
