// Package webpath looks at the paths of requests before a mux does.
package webpath

import (
	"path"
)

// Clean says whether a mux serves a request's path as it is. It redirects any
// other to the clean path, which may hold a claim token, and writes that path
// into the answer's body.
func Clean(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	c := path.Clean(p)
	return p == c || (c != "/" && p == c+"/")
}
