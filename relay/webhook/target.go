package webhook

import (
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"kubbi-mcp/internal/dial"
	"kubbi-mcp/kubbi/api"
)

// Target says where the receipts of a kubbi go. Its URL may hold a secret.
type Target struct {
	URL    string      `json:"url"`
	Events []api.Event `json:"events,omitzero"` // nil: all
	Secret string      `json:"secret"`          // as api.WebhookSecret gives it
}

// Format hides the target from every verb.
func (t Target) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "webhook target") }

// wants reports whether the target gets receipts of an event.
func (t *Target) wants(e api.Event) bool { return t.Events == nil || slices.Contains(t.Events, e) }

// Receipt is what is posted to a target.
type Receipt struct {
	Event api.Event
	Type  string // of the body: the event, with a prefix
	Body  any    // an api.Receipt or api.RequestReceipt
}

// Fault says what is wrong with a notify_url; "": nothing. The text starts with a verb and
// does not quote the URL. The address of a host name is checked later, when it is dialled.
func (o *Options) Fault(text string) string {
	if len(text) > api.MaxNotifyURL {
		return fmt.Sprintf("must be at most %d bytes", api.MaxNotifyURL)
	}
	if strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) >= 0 {
		return "must not hold a space, a control character, a backslash or a character outside ASCII"
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return "must be of the form https://host/path"
	case u.User != nil:
		return "must not have a user name or password in it"
	case strings.Contains(text, "#"):
		return "must not have a fragment"
	case u.Scheme == "http" && len(o.Allow) == 0:
		return "must be https"
	}
	addr, err := netip.ParseAddr(u.Hostname())
	switch {
	case err != nil: // a name
		return ""
	case u.Scheme == "http" && !o.allows(addr.Unmap()):
		return "must be https: this relay posts over plain http to addresses that its operator has allowed alone"
	case !o.publicOrAllowed(addr.Unmap()):
		return "must not lead to a private or reserved address that the relay's operator has not allowed"
	}
	return ""
}

// allows reports whether the operator has named an address.
func (o *Options) allows(a netip.Addr) bool {
	return slices.ContainsFunc(o.Allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (o *Options) publicOrAllowed(a netip.Addr) bool { return dial.Public(a) || o.allows(a) }
