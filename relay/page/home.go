package page

import (
	"encoding/json"
	"io"
	"net/http"
)

// Home is the front page of a relay. Its script seals a text or files, sends them, and shows
// the claim URL.
type Home struct {
	Relay    Relay
	Origin   string // of the relay, as clients reach it
	Local    bool   // it answers only this machine
	NeedsKey bool   // a create needs an API key
	MaxFiles int
	MaxBytes int64 // of what is sent, sealed
	MaxTTL   int   // seconds
}

// Limits is what the script checks before it sends, as JSON.
func (h Home) Limits() (string, error) {
	b, err := json.Marshal(map[string]int64{"files": int64(h.MaxFiles), "bytes": h.MaxBytes})
	return string(b), err
}

// TTL is one of the times for which something can be sent.
type TTL struct {
	Seconds int
	Words   string
	Usual   bool
}

// Times are the times to choose from.
func (h Home) Times() []TTL {
	all := []TTL{{600, "10 minutes", false}, {3600, "1 hour", true}, {8 * 3600, "8 hours", false}, {24 * 3600, "1 day", false}}
	for i, t := range all {
		if t.Seconds > h.MaxTTL {
			return all[:max(i, 1)]
		}
	}
	return all
}

// Config is the configuration of an MCP host that uses this relay.
func (h Home) Config() (string, error) {
	type server struct {
		Command string            `json:"command"`
		Env     map[string]string `json:"env"`
	}
	b, err := json.MarshalIndent(map[string]any{"mcpServers": map[string]server{
		"kubbi": {"kubbi-mcp", map[string]string{"KUBBI_BASE_URL": h.Origin, "KUBBI_API_KEY": "kb_..."}},
	}}, "", "  ")
	return string(b), err
}

// Write writes the page.
func (h Home) Write(w io.Writer) error { return pages.ExecuteTemplate(w, "home", h) }

// SetHeaders sets the headers of the page.
func (h Home) SetHeaders(header http.Header) {
	setHeaders(header, "script-src "+hashOf(homeScript)+"; img-src data:; connect-src 'self'; form-action 'none'")
}
