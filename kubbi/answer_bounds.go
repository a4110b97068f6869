package kubbi

import (
	"encoding/json"
	"net/http"

	"kubbi-mcp/kubbi/api"
)

// Bounds of what a service may say beside a payload, in bytes. They are looser than the
// API's own limits, such as 1 KB of metadata, so that no honest service exceeds them.
const (
	maxMetadata = 4 << 10
	maxLabel    = 255     // an id, a status, a content type, a role
	maxName     = 1 << 10 // a file name
	maxClaimURL = 2 << 10
	maxListing  = 64 << 10 // what an inspect says of all files
)

// tooMuch is the error of an answer that says more than this API does.
func tooMuch(what string) *Error {
	return &Error{Status: http.StatusOK, Message: "the answer's " + what + " not what this API gives", cause: errNotJSON, permanent: true}
}

// isWord reports whether a text is one short word, such as an id or a status.
func isWord(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return len(s) <= maxLabel
}

// checkKubbi refuses what no service of this API says of a kubbi.
func checkKubbi(k *Kubbi) *Error {
	switch {
	case !isWord(k.ID):
		return tooMuch("id is")
	case !isWord(string(k.Status)):
		return tooMuch("status is")
	case len(k.ContentType) > maxLabel:
		return tooMuch("content type is")
	case len(k.Metadata) > maxMetadata:
		return tooMuch("metadata is")
	}
	return nil
}

// checkSent refuses what no service of this API answers to a create.
func checkSent(s *Sent) *Error {
	var e *Error
	switch u, err := ParseClaimURL(s.ClaimURL); {
	case !isWord(s.ID):
		e = tooMuch("id is")
	case len(s.ClaimURL) > maxClaimURL, err != nil, u.bare() || u.URL() != s.ClaimURL:
		e = tooMuch("claim URL is")
	case !isWord(s.ClaimToken), !isWord(string(s.Status)):
		e = tooMuch("token or status is")
	case len(s.ContentType) > maxLabel:
		e = tooMuch("content type is")
	case len(s.Metadata) > maxMetadata:
		e = tooMuch("metadata is")
	}
	if e != nil {
		e.Uncertain = true
	}
	return e
}

// checkInspected refuses what no service of this API says to an inspect.
func checkInspected(in *Inspected) *Error {
	switch {
	case !isWord(string(in.Status)):
		return tooMuch("status is")
	case len(in.ContentType) > maxLabel:
		return tooMuch("content type is")
	case len(in.Metadata) > maxMetadata:
		return tooMuch("metadata is")
	}
	listing := 0
	for _, f := range in.Files {
		if listing += len(f.Name) + len(f.ContentType) + 64; listing > maxListing {
			return tooMuch("list of files is")
		}
		if len(f.Name) > maxName || len(f.ContentType) > maxLabel || f.Role != nil && len(*f.Role) > maxLabel {
			return tooMuch("list of files is")
		}
	}
	return nil
}

// cutClaim removes what no service of this API says beside a payload. It refuses nothing:
// the claim has counted, and the payload must not be lost.
func cutClaim(r *api.ClaimResponse) {
	if len(r.Metadata) > maxMetadata {
		r.Metadata = json.RawMessage(nil)
	}
	r.ContentType = cutText(r.ContentType, maxLabel)
	for i := range r.Files {
		f := &r.Files[i]
		f.ContentType = cutText(f.ContentType, maxLabel)
		f.Role = cutRole(f.Role)
	}
}

func cutRole(role *string) *string {
	if role == nil || len(*role) <= maxLabel {
		return role
	}
	short := cutText(*role, maxLabel)
	return &short
}

func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most]
}
