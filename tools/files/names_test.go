package files

import (
	"regexp"
	"strings"
	"testing"
)

func TestPackageName(t *testing.T) {
	rule := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}$`)
	for in, want := range map[string]string{
		"notes.md":                       "notes.md",
		"My report (v1).csv":             "My_report__v1_.csv",
		".env":                           "env",
		"..":                             "file",
		"-rf":                            "rf",
		"a..b":                           "a.b",
		"a....b":                         "a.b",
		"žluť.txt":                       "lu_.txt",
		"x\x00y":                         "x_y",
		"a\nb":                           "a_b",
		"\xff":                           "file",
		strings.Repeat("n", 300) + ".md": strings.Repeat("n", 252) + ".md",
	} {
		got := PackageName(in)
		if got != want {
			t.Errorf("PackageName(%q) = %q, want %q", in, got, want)
		}
		if !rule.MatchString(got) || strings.Contains(got, "..") {
			t.Errorf("PackageName(%q) = %q, which no package can have", in, got)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "a.b", "A-1_2.txt", "content.json", "COM10", "consul", "console.log"} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"", ".", "..", "../a", "/etc/passwd", "a/b", `a\b`, "a/../../b", "C:x", "a\x00", "a\nb", strings.Repeat("n", 256),
		"CON", "con.txt", "Nul", "aux.tar.gz", "COM1", "lpt9.md", ".hidden", "-rf", "a.", "žluť", "раssword.txt", "a\u202egpj.exe", "ﬁle", "a／b",
	} {
		if CheckName(name) == nil {
			t.Errorf("%q is taken for a file name", name)
		}
	}
	if CheckNames([]string{"a.txt", "A.TXT"}) == nil {
		t.Error("two names that are one on some systems are taken")
	}
}

func TestHidden(t *testing.T) {
	for _, name := range []string{".env", ".ssh", "prod.env", "id_rsa", "ID_ED25519", "server.key", "Cert.PEM", "credentials"} {
		if !hidden(name) {
			t.Errorf("%q is not hidden", name)
		}
	}
	for _, name := range []string{"environment.md", "key.txt", "id_rsa.pub", "a.log", "keys"} {
		if hidden(name) {
			t.Errorf("%q is hidden", name)
		}
	}
}
