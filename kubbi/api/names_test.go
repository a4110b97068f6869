package api

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const limit = maxFileName

// goodNames can be saved everywhere, and are sent as they are.
var goodNames = []string{
	"a", "notes.md", "A-1_2.txt", "COM10", "consul", "console.log", "auxiliary.h", "nul-and-void.txt", "a.tar.gz", "file.c++",
	"отчёт.csv", "報告書.md", "تقرير.yaml", "रिपोर्ट.txt", "รายงาน.txt", "보고서.hwp", "דוח.docx", "ܫܠܡܐ.txt", "ᚠᚢᚦ.txt", "𒀀𒁀.txt", "𠮷野家.txt",
	"می‌خواهم.txt", "क्‍ष.txt", "ᠭᠠᠷ᠎ᠠ.txt", "葛󠄀城.txt", // joiners and variation selectors where a script needs them
	"🎉.json", "👨‍👩‍👧‍👦.png", "❤️‍🔥.txt", "👍🏽.txt", "1️⃣.txt", "🇫🇷.txt", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f.txt", "🫩.txt",
	"caf\u00e9.txt", "cafe\u0301.txt", "\u00c5.txt", "A\u030a.txt", "각.txt", "\u1100\u1161\u11a8.txt", // both forms
	"Screenshot 2026-01-01 at 10.00.00\u202fAM.png", "a\u00a0b.txt", "全角\u3000空白.txt", "New Text Document (2).txt",
	"(1).pdf", "_x.txt", "__init__.py", "[draft] plan, v2; final!.md", "100% + tax = $5 & more.txt", "it's.txt", "~$doc.docx", "#1 @home.md", "{a}^b`c.txt",
	"第１話／前編：なぜ？.txt", "«цитата» — №1….txt", "a؀12.txt", // wide punctuation, a sign of Arabic that is Cf and can be seen
	strings.Repeat("n", 255), strings.Repeat("я", 127),
}

func TestGoodFileNames(t *testing.T) {
	for _, name := range goodNames {
		if fault := FileNameFault(name, limit); fault != "" {
			t.Errorf("%q %s", name, fault)
		}
		if got := SafeFileName(name); got != name {
			t.Errorf("SafeFileName(%q) = %q", name, got)
		}
	}
}

// TestBadFileNames has names that some system can't save or show, and those that
// would do.
func TestBadFileNames(t *testing.T) {
	for name, want := range map[string]string{
		"aux.h": "aux_.h", "con.json": "con_.json", "CON": "CON_", "Nul": "Nul_", "prn.txt": "prn_.txt", "aux.tar.gz": "aux_.tar.gz",
		"COM1": "COM1_", "com0.txt": "com0_.txt", "lpt9.md": "lpt9_.md", "COM¹.txt": "COM¹_.txt", "LPT³": "LPT³_", "con .txt": "con _.txt", "CONIN$": "CONIN$_", ".aux": "aux_",
		"notes.": "notes", "notes ": "notes", "notes. .": "notes", "notes\u00a0": "notes", "notes\u3000": "notes", "...": "file", ".": "file", "..": "file", " ": "file",
		".env": "env", ".gitignore": "gitignore", " a.txt": "a.txt", "\u00a0a.txt": "a.txt", "-rf": "rf", "--help.txt": "help.txt", "\u0301a.txt": "a.txt",
		"a..b": "a.b", "a....b": "a.b", "../a": "_a", "/etc/passwd": "_etc_passwd", `a\b`: "a_b", "C:x": "C_x", "what?.md": "what_.md", `"q".txt`: "_q_.txt", "a<b>|c*.txt": "a_b__c_.txt",
		"a\x00b": "a_b", "a\nb.txt": "a_b.txt", "a\tb": "a_b", "a\x7fb": "a_b", "a\u0085b": "a_b", "\xff": "_", "a\xffb.txt": "a_b.txt",
		"a\u202egpj.exe": "agpj.exe", "\u200fa.txt": "a.txt", "a\u200e.txt": "a.txt", "a\u2066b\u2069.txt": "ab.txt", "a\u2028b": "ab", "a\ufeff.txt": "a.txt", "a\u00ad.txt": "a.txt", "a\u2060b": "ab",
		"a\u3164.exe": "a.exe", "a\u115fb": "ab", "a\ue000.txt": "a.txt", "a\ufffeb": "ab", "a\U000e0041b": "ab", "a\u034fb": "ab",
		"\u200da.txt": "a.txt", "a\u200d\u200d.txt": "a\u200d.txt", "a\u200d": "a", "a\ufe0f\ufe0f.txt": "a\ufe0f.txt", "a\u200d\ufe0e.txt": "a\u200d.txt",
		"🏴\U000e0067\U000e0062.txt":         "🏴.txt",
		strings.Repeat("n", 300) + ".md":    strings.Repeat("n", 252) + ".md",
		strings.Repeat("я", 200) + ".csv":   strings.Repeat("я", 125) + ".csv",
		strings.Repeat("n", 300):            strings.Repeat("n", 255),
		"a." + strings.Repeat("長い拡張子", 100): "a.長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子長い拡張子"[:254],
	} {
		fault := FileNameFault(name, limit)
		if fault == "" {
			t.Errorf("%q is taken for a name that every system can save", name)
		} else if utf8.ValidString(name) && !strings.Contains(fault, `"`+want+`"`) {
			t.Errorf("%q %s: want %q named", name, fault, want)
		}
		if got := SafeFileName(name); got != want {
			t.Errorf("SafeFileName(%q) = %q, want %q", name, got, want)
		}
	}
	if FileNameFault("", limit) == "" || SafeFileName("") != "file" {
		t.Error("an empty name is taken for one")
	}
}

// TestFoldFileName has pairs that macOS, Windows or a folder of Linux that ignores
// case takes for one name, and pairs that none does.
func TestFoldFileName(t *testing.T) {
	for _, pair := range [][2]string{
		{"a.txt", "A.TXT"}, {"caf\u00e9", "cafe\u0301"}, {"CAF\u00c9", "cafe\u0301"}, {"Ångström", "A\u030angstro\u0308m"}, {"отчёт", "ОТЧЁТ"}, {"ΣΑΣ", "σας"},
		{"straße", "STRASSE"}, {"각", "\u1100\u1161\u11a8"}, {"می‌خواهم", "میخواهم"}, {"❤️", "❤"}, {"\u1e9b\u0323", "\u017f\u0323\u0307"}, {"K", "\u212a"}, {"Ꭸ", "ꭸ"},
	} {
		if a, b := FoldFileName(pair[0]), FoldFileName(pair[1]); a != b {
			t.Errorf("%q and %q are two names: %q, %q", pair[0], pair[1], a, b)
		}
	}
	for _, pair := range [][2]string{{"a", "b"}, {"cafe", "café"}, {"一", "二"}, {"a b", "a\u00a0b"}, {"ılık", "ilik"}, {"1", "１"}} {
		if FoldFileName(pair[0]) == FoldFileName(pair[1]) {
			t.Errorf("%q and %q are one name", pair[0], pair[1])
		}
	}
}

func TestHostedFileNames(t *testing.T) {
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
		if got := HostedFileNames(tt.in); !slices.Equal(got, tt.want) {
			t.Errorf("HostedFileNames(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	got := HostedFileNames(goodNames[:len(goodNames)-2])
	seen := map[string]string{}
	for i, name := range got {
		if !HostedFileName(name) || FileNameFault(name, limit) != "" {
			t.Errorf("%q goes as %q, which is refused", goodNames[i], name)
		}
		if other := seen[strings.ToLower(name)]; other != "" {
			t.Errorf("%q and %q both go as %q", other, goodNames[i], name)
		}
		seen[strings.ToLower(name)] = goodNames[i]
	}
}

// FuzzFileNames holds the rules that the functions share, for any name.
func FuzzFileNames(f *testing.F) {
	for _, name := range goodNames {
		f.Add(name)
	}
	for _, name := range []string{"Ꭸ", "", "..", "aux.h", "a..b", "-a.", "\xff", "🏴\U000e0067\U000e0062", strings.Repeat("🏴\U000e0067\U000e007f", 40), ". .con. .", "a\u200d\u0301.", "é\u0301con"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		safe := SafeFileName(name)
		if fault := FileNameFault(safe, limit); fault != "" {
			t.Fatalf("%q would do for %q, and %s", safe, name, fault)
		}
		if FileNameFault(name, limit) == "" && safe != name {
			t.Fatalf("%q is good, and becomes %q", name, safe)
		}
		if utf8.RuneCountInString(safe) > 255 || strings.ContainsAny(safe, "/\\:*?\"<>|\x00\n") {
			t.Fatalf("%q is taken", safe)
		}
		fold := FoldFileName(safe)
		if again := FoldFileName(strings.ToLower(safe)); again != fold && strings.ToLower(strings.ToUpper(safe)) == strings.ToLower(safe) {
			t.Fatalf("%q and its lower case are two names: %q, %q", safe, fold, again)
		}
		names := []string{safe, "file.txt"}
		if fold == FoldFileName("file.txt") {
			names = names[:1]
		}
		hosted := HostedFileNames(names)
		for i, h := range hosted {
			if !HostedFileName(h) || FileNameFault(h, limit) != "" {
				t.Fatalf("%q goes as %q", names[i], h)
			}
		}
		if len(hosted) == 2 && strings.EqualFold(hosted[0], hosted[1]) {
			t.Fatalf("%q all go as %q", names, hosted[0])
		}
	})
}
