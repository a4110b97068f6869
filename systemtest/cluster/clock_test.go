//go:build unix

package cluster

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/cli"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store/postgres"
	"kubbi-mcp/relay/store/postgres/pgtest"
)

// TestRelayCheckOnPostgres checks a data base whose URL is in a file, before and after
// a relay has made its tables.
func TestRelayCheckOnPostgres(t *testing.T) {
	url := pgtest.New(t).Database(t)
	dir := t.TempDir()
	where := filepath.Join(dir, "store-url")
	if err := os.WriteFile(where, []byte(url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	checked := func(lines ...string) {
		t.Helper()
		var out, logged bytes.Buffer
		none := func(string) string { return "" }
		args := []string{"relay", "check", "--data-dir", dir, "--listen", "127.0.0.1:0", "--store", "file:" + where}
		if err := cli.Run(t.Context(), args, none, strings.NewReader(""), &out, &logged); err != nil {
			t.Errorf("%v\n%s", err, out.String())
		}
		for _, line := range lines {
			if !strings.Contains(out.String(), "\n"+line) {
				t.Errorf("no line begins with %q:\n%s", line, out.String())
			}
		}
		if all := out.String() + logged.String(); strings.Contains(all, url) {
			t.Errorf("the URL is told: %s", all)
		}
	}
	checked("warning  store           there is none yet")
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	checked("ok       store           it answers", "ok       clock           the data base's is ")
}

// TestSkewedClock uses a data base whose clock differs from the relays'. relay check
// says so, and a relay is not ready until the clocks agree.
func TestSkewedClock(t *testing.T) {
	t.Parallel()
	pg := pgtest.New(t)
	for by, told := range map[time.Duration]string{10 * time.Minute: "behind", -90 * time.Second: "ahead of"} {
		url := pg.Ahead(t, by)
		c := startCluster(t, append(onFile(t), "KUBBI_STORE="+url)...)
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		defer cancel()
		c.all(ctx, map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable, api.PathHealth: http.StatusOK})
		for _, command := range []string{"check", "health"} {
			listen := "127.0.0.1:0"
			if command == "health" {
				listen = c.nodes[0].addr
			}
			out, err := c.command(ctx, "relay", command, "--listen", listen).CombinedOutput()
			if text := string(out); err == nil || !strings.Contains(text, told+" the data base's") {
				t.Errorf("by %v: relay %s: %v: %s", by, command, err, text)
			}
		}
		if log := c.nodes[0].log.String(); !strings.Contains(log, "relay is not ready for requests") || !strings.Contains(log, "NTP") {
			t.Errorf("by %v: logged: %.3000s", by, log)
		}
		mustExec(ctx, t, connect(ctx, t, url), "DROP FUNCTION clock_timestamp()")
		c.all(ctx, map[string]int{"/readyz": http.StatusOK})
	}
}
