package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"time"

	"kubbi-mcp/internal/keep"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// keptFolder is the folder of a data directory that has what run --keep keeps.
func keptFolder(dataDir string) keep.Folder { return keep.Folder(filepath.Join(dataDir, "kept")) }

// keepName is the name under which a claim is kept: an id or a token.
func keepName(text string) string {
	if id, err := kubbi.ParseID(text); err == nil {
		return "id/" + id
	}
	if u, err := kubbi.ParseClaimURL(text); err == nil {
		return "token/" + u.Token()
	}
	return "" // nothing to claim
}

// keptPayload is a payload as it is kept, in JSON.
type keptPayload struct {
	Data   []byte      `json:"data"`
	Fields []api.Field `json:"fields,omitzero"`
}

func readKept(secret []byte) (*payload, error) {
	var k keptPayload
	if err := json.Unmarshal(secret, &k); err != nil {
		return nil, errors.New("what is kept can't be read")
	}
	return &payload{size: int64(len(k.Data)), fields: k.Fields, open: func() (io.Reader, error) { return bytes.NewReader(k.Data), nil }}, nil
}

// keep keeps a claimed payload for this login session.
func (r *secretRun) keep(s *source) error {
	content, err := s.payload.open()
	if err != nil {
		return err
	}
	k := keptPayload{Fields: s.payload.fields}
	if k.Data, err = io.ReadAll(io.LimitReader(content, keep.MaxBytes+1)); err != nil {
		return err
	}
	secret, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return r.kept.Put(s.keepName, secret, time.Now().Add(r.keepFor))
}

// forget forgets payloads that were kept for a command that did not start.
func (r *secretRun) forget(all []*source) {
	for _, s := range all {
		if err := r.kept.Forget(s.keepName); err != nil {
			r.app.log.Error("forget what was kept", "error", err)
		}
	}
}

// forget is run --forget.
func (c *runCmd) forget(a *app, kept keep.Folder) error {
	if len(c.Command)+len(c.Env)+len(c.EnvFrom)+len(c.File) > 0 || c.Keep > 0 {
		return usagef("--forget forgets all that --keep has kept, and takes nothing else")
	}
	n, err := kept.ForgetAll()
	if err != nil {
		return err
	}
	return a.print(count(n, "claim") + " forgotten\n")
}
