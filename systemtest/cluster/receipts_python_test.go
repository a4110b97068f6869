package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// TestWebhooksPython has three relays of one store send receipts to the Python code of
// docs/wire.md, which checks them with the package of Standard Webhooks.
func TestWebhooksPython(t *testing.T) {
	python := testkit.Needs(t, "KUBBI_PYTHON", "a Python with standardwebhooks")
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	c := startCluster(t, "KUBBI_RELAY_NOTIFY_ALLOW=127.0.0.1")
	key := strings.TrimSpace(string(c.run("keys", "create", "--label", "producer")))
	secret := strings.TrimSpace(string(c.run("webhook-secret", "--api-key", key)))

	receiver := exec.CommandContext(ctx, python, testkit.DocProgram(t, "Webhook receipts", "python", filepath.Join("testdata", "webhooks", "check.py")))
	receiver.Env = append(os.Environ(), "KUBBI_WEBHOOK_SECRET="+secret, "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
	var stderr bytes.Buffer
	receiver.Stderr = &stderr
	stdin, err := receiver.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := receiver.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	line := func() string {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the receiver has ended: %v\n%s", lines.Err(), &stderr)
		}
		return lines.Text()
	}
	url := "http://127.0.0.1:" + line() + "/hook"

	clients := make([]*kubbi.Client, len(c.nodes))
	for i, origin := range c.origins() {
		if clients[i], err = kubbi.NewClient(key, kubbi.WithBaseURL(origin)); err != nil {
			t.Fatal(err)
		}
		defer clients[i].Close()
	}
	send := func() *kubbi.Sent {
		t.Helper()
		sent, err := clients[0].Send(ctx, kubbi.SendParams{Content: "x", MaxRetrievals: 2, Notify: &kubbi.Notify{URL: url}})
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	claimed, deleted := send(), send()
	for i := range 2 { // one node counts, another burns
		if _, err := clients[1+i].Claim(ctx, claimed.ClaimToken); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := clients[2].Delete(ctx, deleted.ID); err != nil {
		t.Fatal(err)
	}
	got, ids := map[string]int{}, map[string]bool{}
	for range 4 {
		var r struct {
			ID      string
			Receipt api.Receipt
		}
		if err := json.Unmarshal([]byte(line()), &r); err != nil {
			t.Fatal(err)
		}
		got[r.Receipt.Data.ID+" "+r.Receipt.Type]++
		ids[r.ID] = true
	}
	for what, n := range map[string]int{
		claimed.ID + " kubbi.claimed": 2, claimed.ID + " kubbi.burned": 1, deleted.ID + " kubbi.deleted": 1,
	} {
		if got[what] != n {
			t.Errorf("%d times %s, want %d; all are %v", got[what], what, n, got)
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d different ids, want 4", len(ids))
	}

	// The receiver refuses a forged receipt.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("webhook-id", "x")
	req.Header.Set("webhook-timestamp", "1774699200")
	req.Header.Set("webhook-signature", "v1,AAAA")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a forged receipt: %s", resp.Status)
	}
	stdin.Close()
	for lines.Scan() {
		t.Errorf("a receipt too many: %s", lines.Text())
	}
	if err := receiver.Wait(); err != nil {
		t.Errorf("receiver: %v\n%s", err, &stderr)
	}
}
