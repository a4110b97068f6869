package relay

import (
	"net/http"
	"strings"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/page"
	"kubbi-mcp/relay/store"
)

// homePage answers GET / for a browser: what this relay is, and a form that sends.
func (rl *Relay) homePage(w http.ResponseWriter, _ *http.Request) error {
	l := rl.cfg.Limits
	return writePage(w, http.StatusOK, page.Home{
		Relay: rl.shown(), Origin: rl.origin, Local: rl.cfg.Local, NeedsKey: !rl.cfg.Local,
		MaxFiles: l.Files, MaxBytes: l.PackageBytes, MaxTTL: l.MaxTTLSeconds,
	})
}

// shown is what pages say about this relay.
func (rl *Relay) shown() page.Relay {
	_, host, _ := strings.Cut(rl.origin, "://")
	return page.Relay{Host: host, Name: rl.cfg.Name, Contact: rl.cfg.Contact}
}

// ownerOfHome owns what people send with the front page of a local relay. No API key has an
// owner with a control character, so no agent lists or deletes it: it ends by itself.
const ownerOfHome = "\x01home"

// homeQuota keeps a program of the machine, which could pretend to be a browser there, from
// filling the disk.
var homeQuota = store.Quota{Daily: 500, Active: 50}

// creator finds the API key of a create. Only the script of a local relay's front page needs
// none.
func (rl *Relay) creator(h http.Header, r *http.Request) (*store.APIKey, error) {
	if rl.cfg.Local && r.Header.Get("Sec-Fetch-Site") == "same-origin" && len(r.Header.Values("Authorization")) == 0 && r.URL.Path == api.PathKubbis {
		return &store.APIKey{Owner: ownerOfHome, Quota: homeQuota}, nil
	}
	return rl.producer(h, r)
}
