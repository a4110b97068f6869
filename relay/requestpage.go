package relay

import (
	"net/http"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/relay/page"
)

// questionPage answers GET /q/:token for a browser: what is asked for, and a form whose script
// seals the answer. It changes nothing.
func (rl *Relay) questionPage(w http.ResponseWriter, r *http.Request) error {
	req, err := rl.readAnswerer(nil, r)
	if err != nil {
		return err
	}
	q, err := rl.question(r.Context(), nil, req)
	if err != nil {
		return err
	}
	text, err := json.Marshal(q)
	if err != nil {
		return err
	}
	p := page.Request{
		Relay: rl.shown(), Question: string(text), Message: q.Message, Files: q.Files,
		MaxFiles: q.Limits.Files, MaxBytes: q.Limits.Bytes, ExpiresAt: q.ExpiresAt.Time, Now: rl.now(),
	}
	for _, f := range q.Fields {
		p.Fields = append(p.Fields, page.Field{Name: f.Name, Secret: f.Secret, Lines: f.Lines})
	}
	return writePage(w, http.StatusOK, p)
}
