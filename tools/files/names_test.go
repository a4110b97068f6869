package files

import (
	"slices"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "a.b", "A-1_2.txt", "content.json", "COM10", "consul", "console.log", "žluť", "отчёт.csv", "a b.txt", "🎉.json"} {
		if err := checkName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"", ".", "..", "../a", "/etc/passwd", "a/b", `a\b`, "a/../../b", "C:x", "a\x00", "a\nb", strings.Repeat("n", 256),
		"CON", "con.txt", "Nul", "aux.tar.gz", "COM1", "lpt9.md", ".hidden", "-rf", "a.", "a\u202egpj.exe",
	} {
		if checkName(name) == nil {
			t.Errorf("%q is taken for a file name", name)
		}
	}
}

// TestSaveNames accepts every name that the API reference allows, and none that leads
// elsewhere.
func TestSaveNames(t *testing.T) {
	for _, tt := range []struct{ in, want []string }{
		{[]string{"a.txt", "отчёт.csv"}, []string{"a.txt", "отчёт.csv"}},
		{[]string{"aux.h", "notes.", "con"}, []string{"aux_.h", "notes", "con_"}},
		{[]string{"aux.h", "aux_.h", "AUX__.h", "notes.", "notes"}, []string{"aux___.h", "aux_.h", "AUX__.h", "notes_", "notes"}},
		{[]string{strings.Repeat("n", 254) + "."}, []string{strings.Repeat("n", 254)}},
	} {
		if got, err := saveNames(tt.in); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("saveNames(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
	for _, names := range [][]string{{"../a"}, {"a", "b/c"}, {".env"}, {"aux.h", "-rf"}, {"a", "A"}, {"caf\u00e9", "cafe\u0301"}, {"a\u202eb"}, {"отчёт."}} {
		if got, err := saveNames(names); err == nil {
			t.Errorf("saveNames(%q) = %q", names, got)
		}
	}
}

func TestHidden(t *testing.T) {
	for _, name := range []string{".env", ".ssh", "prod.env", "id_rsa", "ID_ED25519", "server.key", "Cert.PEM", "credentials"} {
		if !isHidden(name) {
			t.Errorf("%q is not hidden", name)
		}
	}
	for _, name := range []string{"environment.md", "key.txt", "id_rsa.pub", "a.log", "keys"} {
		if isHidden(name) {
			t.Errorf("%q is hidden", name)
		}
	}
}
