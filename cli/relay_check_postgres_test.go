//go:build unix

package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/cli"
	"kubbi-mcp/relay/store/postgres"
	"kubbi-mcp/relay/store/postgres/pgtest"
)

// TestRelayCheckOnPostgres looks at a data base whose URL is in a file, before
// and after a relay has made its tables.
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
