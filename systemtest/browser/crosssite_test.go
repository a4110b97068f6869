package browser

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// TestOtherSitesInChromium opens pages of another site, which can't claim at a team's
// relay or an embedded one. The button of the claim page works at both, with and
// without scripts. Chromium sends no Sec-Fetch-Site to the team's relay, since plain
// http at a name is no secure context.
func TestOtherSitesInChromium(t *testing.T) {
	t.Parallel()
	env := needsChromium(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	team := testkit.MustFreeAddr(t)
	_, port, _ := strings.Cut(team, ":")
	teamKey, teamLog := startTeam(ctx, t, team, "--public-url", "http://relay.test:"+port)
	own, ownDir := testkit.FreeURL(t), t.TempDir()
	ownLog := testkit.StartRelay(ctx, t, own, "serve", "--log-level", "debug", "--data-dir", ownDir, "--relay-url", own)
	ownKey, err := os.ReadFile(filepath.Join(ownDir, "api-key"))
	if err != nil {
		t.Fatal(err)
	}

	type relayCase struct {
		Name     string `json:"name"`
		URL      string `json:"url"`      // that is attacked
		Scripted string `json:"scripted"` // that are opened
		Plain    string `json:"plain"`
	}
	var cases []relayCase
	var attacked []func() *kubbi.Kubbi
	for _, r := range []struct{ name, at, key, public string }{
		{"team", "http://" + team, teamKey, "http://relay.test:" + port}, {"embedded", own, string(ownKey), own},
	} {
		client, err := kubbi.NewClient(strings.TrimSpace(r.key), kubbi.WithBaseURL(r.at))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		send := func() *kubbi.Sent {
			sent, err := client.Send(ctx, kubbi.SendParams{Content: "the content", MaxRetrievals: 1})
			if err != nil {
				t.Fatal(err)
			}
			return sent
		}
		victim := send()
		attacked = append(attacked, func() *kubbi.Kubbi {
			k, err := client.Get(ctx, victim.ID)
			if err != nil {
				t.Fatal(err)
			}
			return k
		})
		cases = append(cases, relayCase{r.name, victim.ClaimURL, send().ClaimURL, send().ClaimURL})
		if !strings.HasPrefix(victim.ClaimURL, r.public+api.PathClaim) {
			t.Errorf("claim URL of %s begins otherwise", r.name)
		}
	}
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	runInChromium(ctx, t, "crosssite.mjs", "16 attacks sent, 4 pages opened", append(env, "KUBBI_CASES="+string(in))...)
	for name, log := range map[string]*testkit.Log{"team": teamLog, "embedded": ownLog} {
		if n := strings.Count(log.String(), "method=POST route=/r/{token}/claim status=400"); n != 8 {
			t.Errorf("%s: %d attacks have arrived and were refused", name, n)
		}
	}
	for i, k := range attacked {
		if k := k(); k.RetrievalCount != 0 || k.Status != api.StatusActive {
			t.Errorf("%s: another site's page has claimed: %d retrievals, %s", cases[i].Name, k.RetrievalCount, k.Status)
		}
	}
}
