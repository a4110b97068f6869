package kubbi

import (
	"encoding/json"
	"strings"

	"kubbi-mcp/kubbi/api"
)

// Limits for the parts of an answer other than the payload, in bytes. They are larger than
// the API's own limits, such as 1 KB of metadata, so that no honest service exceeds them.
const (
	maxMetadata = 4 << 10
	maxLabel    = 255     // an id, a status, a content type, a role
	maxName     = 1 << 10 // a file name
	maxClaimURL = 2 << 10
	maxListing  = 64 << 10 // the descriptions of all files in an inspect
)

// isWord reports whether a text is one short word without quotes or backslashes, such as an
// id or a status.
func isWord(s string) bool {
	notPart := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }
	return len(s) <= maxLabel && !strings.ContainsFunc(s, notPart)
}

// checkFields checks the fields that all answers about a kubbi have.
func checkFields(id string, status api.Status, contentType string, metadata []byte) *Error {
	switch {
	case !isWord(id):
		return outOfBounds("id is")
	case !isWord(string(status)):
		return outOfBounds("status is")
	case len(contentType) > maxLabel:
		return outOfBounds("content type is")
	case len(metadata) > maxMetadata:
		return outOfBounds("metadata is")
	}
	return nil
}

// checkSent checks the answer to a create.
func checkSent(s *Sent) *Error {
	if s.ID == "" || s.ClaimURL == "" {
		return uncertainly(incomplete("id or claim_url"))
	}
	switch u, err := ParseClaimURL(s.ClaimURL); {
	case len(s.ClaimURL) > maxClaimURL, err != nil, u.bare() || u.URL() != s.ClaimURL:
		return uncertainly(outOfBounds("claim URL is"))
	case !isWord(s.ClaimToken):
		return uncertainly(outOfBounds("token is"))
	}
	if e := checkFields(s.ID, s.Status, s.ContentType, s.Metadata); e != nil {
		return uncertainly(e)
	}
	return nil
}

// checkInspected checks the answer to an inspect.
func checkInspected(in *Inspected) *Error {
	if e := checkFields(in.KubbiID, in.Status, in.ContentType, in.Metadata); e != nil {
		return e
	}
	listing := 0
	for _, f := range in.Files {
		if listing += len(f.Name) + len(f.ContentType) + 64; listing > maxListing {
			return outOfBounds("list of files is")
		}
		if len(f.Name) > maxName || len(f.ContentType) > maxLabel || f.Role != nil && len(*f.Role) > maxLabel {
			return outOfBounds("list of files is")
		}
	}
	return nil
}

// cutClaim cuts the parts of a claim's answer that exceed their limits. It refuses nothing,
// since the claim has counted and the payload must not be lost.
func cutClaim(r *api.ClaimResponse) {
	if len(r.Metadata) > maxMetadata {
		r.Metadata = json.RawMessage(nil)
	}
	cut := func(s string) string { return s[:min(len(s), maxLabel)] }
	r.ContentType = cut(r.ContentType)
	for i := range r.Files {
		f := &r.Files[i]
		if f.ContentType = cut(f.ContentType); f.Role != nil {
			f.Role = new(cut(*f.Role))
		}
	}
}
