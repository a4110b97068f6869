package filename

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// nameTable is testdata/names.json: good names, and bad names with the names that would do.
// The tests of the claim page's script and of saved files read it, too.
type nameTable struct {
	Good []string
	Bad  []struct{ Name, Instead string }
}

func readNames(t testing.TB) (out nameTable) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "names.json"))
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil || len(out.Good) == 0 || len(out.Bad) == 0 {
		t.Fatalf("%d good names, %d bad ones: %v", len(out.Good), len(out.Bad), err)
	}
	return out
}

func TestGoodNames(t *testing.T) {
	for _, name := range append(readNames(t).Good, strings.Repeat("n", 255), strings.Repeat("я", 127)) {
		if fault := Fault(name); fault != "" {
			t.Errorf("%q %s", name, fault)
		}
		if got := Safe(name); got != name {
			t.Errorf("Safe(%q) = %q", name, got)
		}
	}
}

// TestBadNames: names that some system can't save or show are refused, with a name that would
// do.
func TestBadNames(t *testing.T) {
	bad := map[string]string{
		"\xff": "_", "a\xffb.txt": "a_b.txt",
		strings.Repeat("n", 300) + ".md":  strings.Repeat("n", 252) + ".md",
		strings.Repeat("я", 200) + ".csv": strings.Repeat("я", 125) + ".csv",
		strings.Repeat("n", 300):          strings.Repeat("n", 255),
		"a." + strings.Repeat("長", 100):   "a." + strings.Repeat("長", 84), // an ending that is none
	}
	for _, b := range readNames(t).Bad {
		bad[b.Name] = b.Instead
	}
	for name, want := range bad {
		fault := Fault(name)
		if fault == "" {
			t.Errorf("%q is taken for a name that every system can save", name)
		} else if utf8.ValidString(name) && !strings.Contains(fault, `"`+want+`"`) {
			t.Errorf("%q %s: want %q named", name, fault, want)
		}
		if got := Safe(name); got != want {
			t.Errorf("Safe(%q) = %q, want %q", name, got, want)
		}
	}
	if Fault("") == "" || Safe("") != "file" {
		t.Error("an empty name is taken for one")
	}
}

// TestFold folds pairs that macOS, Windows or a folder of Linux that ignores case takes for
// one name, and pairs that none does.
func TestFold(t *testing.T) {
	for _, pair := range [][2]string{
		{"a.txt", "A.TXT"}, {"caf\u00e9", "cafe\u0301"}, {"CAF\u00c9", "cafe\u0301"}, {"Ångström", "A\u030angstro\u0308m"}, {"отчёт", "ОТЧЁТ"}, {"ΣΑΣ", "σας"},
		{"straße", "STRASSE"}, {"각", "\u1100\u1161\u11a8"}, {"می\u200cخواهم", "میخواهم"}, {"❤️", "❤"}, {"\u1e9b\u0323", "\u017f\u0323\u0307"}, {"K", "\u212a"}, {"Ꭸ", "ꭸ"},
	} {
		if a, b := Fold(pair[0]), Fold(pair[1]); a != b {
			t.Errorf("%q and %q are two names: %q, %q", pair[0], pair[1], a, b)
		}
	}
	for _, pair := range [][2]string{{"a", "b"}, {"cafe", "café"}, {"一", "二"}, {"a b", "a\u00a0b"}, {"ılık", "ilik"}, {"1", "１"}} {
		if Fold(pair[0]) == Fold(pair[1]) {
			t.Errorf("%q and %q are one name", pair[0], pair[1])
		}
	}
}

func TestToASCII(t *testing.T) {
	for _, tt := range []struct{ in, want []string }{
		{[]string{"notes.md"}, []string{"notes.md"}},
		{[]string{"résumé.pdf"}, []string{"resume.pdf"}},
		{[]string{"re\u0301sume\u0301.pdf"}, []string{"resume.pdf"}},
		{[]string{"My report (v1).csv"}, []string{"My_report_v1.csv"}},
		{[]string{"__init__.py"}, []string{"init.py"}},
		{[]string{"отчёт.csv"}, []string{"file-64eed4.csv"}},
		{[]string{"一.txt", "二.txt"}, []string{"file-70b817.txt", "file-c115e1.txt"}},
		{[]string{"Q1 отчёт.csv"}, []string{"Q1-67cf46.csv"}},
		{[]string{"a b.txt", "a_b.txt"}, []string{"a_b-cd6c4a.txt", "a_b.txt"}},
		{[]string{"café.txt", "cafe.txt"}, []string{"cafe-5996d1.txt", "cafe.txt"}},
		{[]string{"🎉.tar.gz"}, []string{"tar-e92c23.gz"}},
	} {
		if got := ToASCII(tt.in); !slices.Equal(got, tt.want) {
			t.Errorf("ToASCII(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	names := readNames(t).Good
	got := ToASCII(names)
	seen := map[string]string{}
	for i, name := range got {
		if !IsASCII(name) || Fault(name) != "" {
			t.Errorf("%q goes as %q, which is refused", names[i], name)
		}
		if other := seen[strings.ToLower(name)]; other != "" {
			t.Errorf("%q and %q both go as %q", other, names[i], name)
		}
		seen[strings.ToLower(name)] = names[i]
	}
}

// FuzzNames holds the rules that the functions share, for any name.
func FuzzNames(f *testing.F) {
	for _, name := range readNames(f).Good {
		f.Add(name)
	}
	for _, name := range []string{"Ꭸ", "", "..", "xAZaz_ksKS.txt", "aux.h", "a..b", "-a.", "\xff", "🏴\U000e0067\U000e0062", strings.Repeat("🏴\U000e0067\U000e007f", 40), ". .con. .", "a\u200d\u0301.", "é\u0301con"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		safe := Safe(name)
		if fault := Fault(safe); fault != "" {
			t.Fatalf("%q would do for %q, and %s", safe, name, fault)
		}
		if Fault(name) == "" && safe != name {
			t.Fatalf("%q is good, and becomes %q", name, safe)
		}
		if utf8.RuneCountInString(safe) > 255 || strings.ContainsAny(safe, "/\\:*?\"<>|\x00\n") {
			t.Fatalf("%q is taken", safe)
		}
		fold := Fold(safe)
		if long := strings.TrimPrefix(Fold("é"+safe), Fold("é")); strings.HasPrefix(safe, "x") && long != fold {
			t.Fatalf("%q is folded in two ways: %q, %q", safe, fold, long)
		}
		lower := strings.ToLower(safe)
		if again := Fold(lower); again != fold && strings.ToLower(strings.ToUpper(safe)) == lower {
			t.Fatalf("%q and its lower case are two names: %q, %q", safe, fold, again)
		}
		names := []string{safe, "file.txt"}
		if fold == Fold("file.txt") {
			names = names[:1]
		}
		hosted := ToASCII(names)
		for i, h := range hosted {
			if !IsASCII(h) || Fault(h) != "" {
				t.Fatalf("%q goes as %q", names[i], h)
			}
		}
		if len(hosted) == 2 && strings.EqualFold(hosted[0], hosted[1]) {
			t.Fatalf("%q all go as %q", names, hosted[0])
		}
	})
}
