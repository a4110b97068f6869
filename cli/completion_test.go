package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// completed completes the last word, as the scripts do.
func completed(t *testing.T, words ...string) (paths string, offers []string) {
	t.Helper()
	var out, errs bytes.Buffer
	none := func(name string) string {
		if name == "KUBBI_DEFAULT_TTL" {
			return "wrong" // no configuration is read
		}
		return ""
	}
	if err := Run(t.Context(), append([]string{completeName, "--"}, words...), none, strings.NewReader(""), &out, &errs); err != nil || errs.Len() > 0 {
		t.Fatalf("%q: %v %s", words, err, errs.String())
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for _, line := range lines[1:] {
		word, _, ok := strings.Cut(line, "\t")
		if !ok {
			t.Errorf("%q: line %q", words, line)
		}
		offers = append(offers, word)
	}
	return lines[0], offers
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct{ words, paths, offers string }{
		{"cl", "none", "claim"},
		{"de", "none", "demo delete"},
		{"keys ", "none", "create list revoke"},
		{"keys cr", "none", "create"},
		{"--data-dir x ke", "none", "keys keyring"},
		{"--data-dir=x ke", "none", "keys keyring"},
		{"--sealed ke", "none", "keys keyring"},
		{"nonsense ", "none", ""},
		{"__", "none", ""},
		{"send ", "file", ""},
		{"send a.md b", "file", ""},
		{"send -t text ", "file", ""},
		{"send -f ", "file", ""},
		{"send --na", "none", "--name"},
		{"send --name=a --na", "none", ""},
		{"send --file=a --fi", "none", "--file"},
		{"send --type text/", "none", "text/plain text/markdown text/csv"},
		{"send --type=text/c", "none", "--type=text/csv"},
		{"send --type = text/c", "none", "text/csv"}, // as bash splits it
		{"send --type =", "none", "text/plain application/json text/markdown text/csv"},
		{"send --ttl ", "none", ""},
		{"send -- --ty", "file", ""},
		{"claim ", "none", ""},
		{"claim -o ", "file", ""},
		{"claim -oout --ov", "none", "--overwrite"},
		{"--data-dir ", "dir", ""},
		{"--data-dir=", "dir", ""},
		{"--log-level w", "none", "warn"},
		{"--log-format ", "none", "text json"},
		{"list --status ", "none", "active expired burned deleted pending answered withdrawn"},
		{"list --status active,", "none", "active,active active,expired active,burned active,deleted active,pending active,answered active,withdrawn"},
		{"list --status=active,d", "none", "--status=active,deleted"},
		{"relay --public", "none", "--public-url"}, // of relay serve
		{"relay --tls-cert ", "file", ""},
		{"completion ", "none", "bash zsh fish"},
		{"completion bash ", "none", ""},
		{"help cl", "none", "claim"},
		{"version --js", "none", "--json"},
		{"--vers", "none", "--version"},
		{"--no-such=", "none", ""},
		{"--no-such x ve", "none", ""},
	} {
		paths, offers := completed(t, strings.Split(c.words, " ")...)
		if got := strings.Join(offers, " "); paths != c.paths || got != c.offers {
			t.Errorf("%q: %s, %q, want %s, %q", c.words, paths, got, c.paths, c.offers)
		}
	}
	if _, offers := completed(t); !slices.Contains(offers, "send") || slices.Contains(offers, completeName) {
		t.Errorf("no words: %q", offers)
	}
}
