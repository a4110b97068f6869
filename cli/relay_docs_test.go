package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"kubbi-mcp/relay"
)

// TestRelayDocs keeps docs/relay.md from drifting away from the program.
func TestRelayDocs(t *testing.T) {
	doc := readDoc(t, "docs/relay.md")
	flags := 0
	for _, f := range reflect.VisibleFields(reflect.TypeFor[relayFlags]()) {
		variable := f.Tag.Get("variable")
		if f.Anonymous || variable == "" {
			continue
		}
		flags++
		row := regexp.MustCompile("(?m)^\\| `--.*`" + variable + "`.*$").FindString(doc)
		if row == "" {
			t.Errorf("docs/relay.md has no row for %s", variable)
		}
		if standard := f.Tag.Get("default"); standard != "" && standard != "0" && !strings.Contains(row, "`"+standard) {
			t.Errorf("docs/relay.md does not say that %s is %s by default: %s", variable, standard, row)
		}
		if help := f.Tag.Get("help"); !strings.HasSuffix(help, ".") {
			t.Errorf("the help of %s is no sentence", variable)
		}
	}
	if flags < 15 {
		t.Errorf("saw %d flags", flags)
	}
	known := map[string]bool{}
	for f := range strings.FieldsSeq("store keyring listen public-url tls-cert tls-key trusted-proxy guess-limit grace retention max-storage notify notify-allow metrics-listen max-conns max-requests lame-duck drain json data-dir max-content max-package log-level log-format") {
		known[f] = true
	}
	for _, f := range regexp.MustCompile("`--([a-z-]+)").FindAllStringSubmatch(doc, -1) {
		if !known[f[1]] {
			t.Errorf("docs/relay.md names --%s, which is not a flag", f[1])
		}
	}
	for _, op := range relay.Operations() {
		if !strings.Contains(doc, "`"+string(op)+"`") {
			t.Errorf("docs/relay.md lacks operation %s", op)
		}
	}
	accepts(t, "relay")
	accepts(t, "relay", "check")
	accepts(t, "relay", "health")
	for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(doc, -1) {
		if _, err := os.Stat(filepath.Join("..", "docs", link[1])); err != nil {
			t.Errorf("docs/relay.md: %v", err)
		}
	}

	// Each metric of the program has a row, and each row is one of them.
	source, err := os.ReadFile(filepath.Join("..", "relay", "service", "metrics.go"))
	if err != nil {
		t.Fatal(err)
	}
	contents, err := os.ReadFile(filepath.Join("..", "relay", "service", "storemetrics.go"))
	if err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`"(kubbi_relay_[a-z_]+)"`).FindAllStringSubmatch(string(source)+string(contents), -1)
	rows := regexp.MustCompile("(?m)^\\| `(kubbi_relay_[a-z_]+)`").FindAllStringSubmatch(doc, -1)
	if len(made) != len(rows) {
		t.Errorf("%d metrics in the program, %d in docs/relay.md", len(made), len(rows))
	}
	for _, m := range made {
		if !strings.Contains(doc, "| `"+m[1]+"` |") {
			t.Errorf("docs/relay.md lacks %s", m[1])
		}
	}
}
