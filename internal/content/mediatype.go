package content

import "regexp"

var mediaType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// IsMediaType reports whether s has the form type/subtype of RFC 6838, section 4.2. The
// content type of a file has no parameters.
func IsMediaType(s string) bool { return mediaType.MatchString(s) }
