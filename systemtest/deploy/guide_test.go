// Package deploy runs the container image, and follows the self-hosting guide under
// systemd.
package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// block is a code block of a page.
type block struct {
	line              int
	heading, language string
	text              string
}

// blocks gives the code blocks of a page in their order.
func blocks(t *testing.T, path string) []block {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	var heading string
	open := false
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !open:
			all = append(all, block{line: n, heading: heading, language: strings.TrimSpace(language)})
			open = true
		case fence:
			open = false
		case open:
			all[len(all)-1].text += line
		case strings.HasPrefix(line, "## "):
			heading = strings.TrimSpace(line[3:])
		}
	}
	return all
}

// afterwards holds, by heading, checks that must succeed after the commands below this
// heading.
var afterwards = map[string]string{
	"Start it": `
[ "$(systemctl is-active kubbi-relay)" = active ]
case $key in kb_*) ;; *) exit 1 ;; esac
journalctl --no-pager --unit kubbi-relay | grep -q 'a keyring was made'`,
	"Keys for a team": `
kubbi-relay-admin keys list | grep -q ' alice .*revoked'`,
	"Backup and restore": `
curl -fsS --retry 10 --retry-connrefused https://kubbi.example.com/readyz
KUBBI_API_KEY=$key kubbi-mcp list | grep -q burned
# Commands that were run as root while the relay was away left nothing that it can't write.
systemctl stop kubbi-relay
kubbi-relay-admin keys create --label meanwhile >/dev/null
systemctl start kubbi-relay
curl -fsS --retry 10 --retry-connrefused https://kubbi.example.com/readyz
KUBBI_API_KEY=$key kubbi-mcp send 'after the backup' >/dev/null
[ "$(stat -c %U /var/lib/kubbi-relay/kubbi.db*  | sort -u)" = kubbi-relay ]`,
	"PostgreSQL, and several relays": `
curl -fsS --retry 10 --retry-connrefused https://kubbi.example.com/readyz
kubbi-mcp claim "$url" | grep -q 'through PostgreSQL'
kubbi-relay-admin keyring list | grep -q waiting
kubbi-relay-admin keyring prune
runuser -u postgres -- psql --quiet --tuples-only --command 'SELECT label FROM api_key' kubbi | grep -q first-agent
[ -z "$(ls /run/credentials/kubbi-relay.service | grep -v -e store -e keyring -e tls)" ]
systemd-analyze verify /etc/systemd/system/kubbi-relay.service
systemd-analyze security --no-pager --threshold=14 kubbi-relay | grep exposure
cp deploy/kubbi-relay.service /tmp/alone.service
systemd-analyze security --no-pager --threshold=11 --offline=true /tmp/alone.service | grep exposure`,
	"In a container": `
[ "$(stat -c '%a %u' deploy/secrets deploy/secrets/* deploy/secrets/keyring/* | tr '\n' ,)" = "700 0,700 10001,400 999,400 10001,600 10001," ]`,
}

// TestDeployGuide follows docs/team.md, command by command, on a machine that
// has just booted.
func TestDeployGuide(t *testing.T) {
	t.Parallel()
	needsRoot(t, "/lib/systemd/systemd", "/usr/bin/unshare", "/usr/bin/setpriv", "/usr/bin/openssl", "/usr/bin/curl", "/usr/bin/sqlite3", "/usr/sbin/nginx", "/usr/lib/postgresql")
	binary := testkit.Program(t)
	folder := t.TempDir()
	clone := filepath.Join(folder, "clone")
	if err := os.MkdirAll(clone, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", "../../deploy", binary, clone).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	read := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := read("testdata/machine.sh")
	var heading string
	check := func() {
		script += afterwards[heading] + "\n"
	}
	commands := 0
	for _, b := range blocks(t, "../../docs/team.md") {
		if b.heading != heading {
			check()
			heading = b.heading
		}
		switch {
		case b.language == "json" && !json.Valid([]byte(b.text)):
			t.Errorf("line %d: not JSON", b.line)
		case b.language == "nginx":
			write(filepath.Join(clone, "location.conf"), b.text)
		case b.language == "" && strings.HasPrefix(b.text, "KUBBI_RELAY_"):
			write(filepath.Join(clone, "relay.env"), b.text)
		case b.language == "sh" && strings.Contains(b.text, "go build"):
			// The binary is there already.
		case b.language == "sh":
			commands++
			script += fmt.Sprintf("echo '== line %d'\n%s", b.line, b.text)
		}
	}
	check()
	script += "echo '== behind a proxy'\n" + read("testdata/proxy.sh") + "echo '== all done'\n"
	if commands < 10 {
		t.Errorf("only %d pieces of code", commands)
	}
	write(filepath.Join(folder, "script"), script)

	ctx, cancel := context.WithTimeout(t.Context(), 3*testkit.Patience)
	defer cancel()
	boot := exec.CommandContext(ctx, "testdata/boot.sh", folder)
	boot.Cancel = func() error { return boot.Process.Signal(syscall.SIGTERM) }
	boot.WaitDelay = 10 * time.Second
	console, err := boot.CombinedOutput()
	out, _ := os.ReadFile(filepath.Join(folder, "out")) // none if it did not get so far
	if err != nil || !strings.Contains(string(out), "== all done") {
		t.Fatalf("%v\n%s\n%s", err, console, out)
	}
	told, journal, _ := strings.Cut(string(out), "== the journal")
	if n := strings.Count(told, "built, tested, ready to ship"); n != 2 {
		t.Errorf("claimed %d times, by kubbi-mcp and by curl: want 2", n)
	}
	if !strings.Contains(told, "through PostgreSQL") {
		t.Error("nothing went through PostgreSQL")
	}
	for _, name := range regexp.MustCompile(`kubbi_relay_[a-z_]+`).FindAllString(read("../../docs/operations.md"), -1) {
		if !strings.Contains(told, "# TYPE "+name+" ") {
			t.Errorf("there is no metric %s", name)
		}
	}
	if found := regexp.MustCompile(`kb_|/r/[A-Za-z0-9_-]{20}|"level":"ERROR"|postgres://`).FindString(journal); found != "" || journal == "" {
		t.Errorf("the journal holds %q:\n%s", found, journal)
	}
	told = regexp.MustCompile(`(?m)^(#|go_|process_|promhttp_|kubbi_relay_).*\n`).ReplaceAllString(told, "")
	t.Logf("%d pieces of code were run:\n%s", commands, told)
}
