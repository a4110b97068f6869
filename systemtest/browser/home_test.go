package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
)

// TestHomePage sends from the front pages of an embedded relay and a team's in Chromium, reads
// the QR codes, and claims what was sent.
func TestHomePage(t *testing.T) {
	t.Parallel()
	env := needsChromium(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	team := testkit.MustFreeAddr(t)
	key, _ := startTeam(ctx, t, team, "--name", "The <b>team", "--contact", "#help")
	s := newAskSite(ctx, t)
	runInChromium(ctx, t, "home.mjs", `\d states passed, 0 failed`,
		append(env, "KUBBI_SITE="+s.server.URL, "KUBBI_OUT="+t.TempDir(), "KUBBI_TEAM=http://"+team, "KUBBI_KEY="+key)...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := bytes.Count(s.received.Bytes(), []byte("POST /api/v1/kubbis")); n < 2 || len(s.claimed) < 3 {
		t.Errorf("%d kubbis came, %d were claimed", n, len(s.claimed))
	}
	for _, link := range s.claimed {
		if _, key, _ := strings.Cut(link, "#k="); bytes.Contains(s.received.Bytes(), []byte(key)) {
			t.Error("the relay got a key")
		}
	}
	if bytes.Contains(s.received.Bytes(), []byte(canary)) {
		t.Error("the relay got a payload in clear")
	}
}

// claim claims the link in the body, and answers with what is in it.
func (s *askSite) claim(w http.ResponseWriter, r *http.Request) {
	link, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.claimed = append(s.claimed, string(link))
	s.mu.Unlock()
	origin, _, _ := strings.Cut(string(link), "/r/")
	client, err := kubbi.NewClient("", kubbi.WithAllowedOrigins(origin))
	if err != nil {
		s.t.Error(err)
		return
	}
	defer client.Close()
	c, err := client.Claim(s.ctx, string(link))
	if err != nil {
		s.t.Errorf("claim: %v", err)
		http.Error(w, "no", http.StatusInternalServerError)
		return
	}
	out := map[string]any{"remaining": c.Remaining}
	if c.Files == nil {
		out["content"] = c.Text()
	} else {
		files := map[string]string{}
		for _, f := range c.Files {
			files[f.Name] = f.Content
		}
		out["files"] = files
	}
	if err := json.NewEncoder(w).Encode(out); err != nil {
		s.t.Error(err)
	}
}
