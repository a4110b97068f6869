package browser

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	testkit.OnlyPlain(t, "one browser, and one request at a time")
	modules := testkit.Needs(t, "KUBBI_PAGE", "the node_modules folder with playwright-core and axe-core")
	chromium := findChromium(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	team := testkit.MustFreeAddr(t)
	_, port, _ := strings.Cut(team, ":")
	dir := t.TempDir()
	teamLog := testkit.StartRelay(ctx, t, "http://"+team, "relay", "--data-dir", dir, "--listen", team, "--public-url", "http://relay.test:"+port, "--lame-duck", "0s")
	keys, err := testkit.Command(ctx, t, "keys", "create", "--label", "test", "--data-dir", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
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
		{"team", "http://" + team, string(keys), "http://relay.test:" + port}, {"embedded", own, string(ownKey), own},
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
	cmd := exec.CommandContext(ctx, "node", filepath.Join("testdata", "page", "crosssite.mjs"))
	cmd.Env = append(os.Environ(), "KUBBI_CASES="+string(in), "KUBBI_CHROMIUM="+chromium, "KUBBI_PAGE="+modules)
	cmd.WaitDelay = 10 * time.Second
	report, err := cmd.CombinedOutput()
	t.Logf("%s", report)
	if err != nil || !regexp.MustCompile(`(?m)^16 attacks sent, 4 pages opened$`).Match(report) || strings.Contains(string(report), "FAILED") {
		t.Errorf("crosssite.mjs: %v", err)
	}
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
