package kubbi

import (
	"strings"

	"github.com/google/uuid"
)

// idScheme is the scheme of kubbi://ID, a form in which some texts name a kubbi.
const idScheme = "kubbi"

// ParseID reads the id of a kubbi, which is a UUID. It also accepts kubbi://ID, and space,
// quotes or angle brackets around it. Errors match ErrValidation. If the text is a claim URL
// or token, the error says so.
func ParseID(s string) (string, error) {
	id := unwrap(s)
	if n := len(idScheme + "://"); len(id) > n && strings.EqualFold(id[:n], idScheme+"://") {
		id = strings.TrimSuffix(id[n:], "/")
	}
	// Anything except a UUID could lead to another path.
	if u, err := uuid.Parse(id); err == nil && len(id) == 36 {
		return u.String(), nil
	}
	if u, err := ParseClaimURL(s); err == nil && (!u.bare() || len(u.token) == wholeToken) {
		return "", invalid("this is a claim URL or claim token, and no id: the id stands beside it in the answer of send or send_files, and in list; use inspect or claim with a claim URL")
	}
	return "", invalid("id is not a UUID (a claim URL or claim token is not an id); list shows the ids of yours")
}

// isID reports whether a text is a kubbi's id.
func isID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }
