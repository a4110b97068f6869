package page

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"unicode"

	"kubbi-mcp/internal/testkit"
)

// TestUnseenIsShown checks that every invisible character is shown, except those that a
// script or an emoji needs.
func TestUnseenIsShown(t *testing.T) {
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r) {
			for _, text := range []string{"pass" + string(r) + "word", string(r), " " + string(r) + string(r)} {
				if got := visible(text); strings.ContainsRune(got, r) || !strings.Contains(got, "⟦U+") {
					t.Errorf("%+q is shown as %+q", text, got)
				}
			}
		}
	}
	for _, text := range []string{
		"می\u200cخواهم", "क्\u200dष", "ᠭᠠᠷ\u180eᠠ", "葛\U000e0100城", "👨\u200d👩\u200d👧\u200d👦", "❤\ufe0f\u200d🔥", "👍🏽", "1\ufe0f⃣", "a\u060012", "tab\tand\nline", "©\ufe0f",
	} {
		if got, masked := mask(text); got != text || masked {
			t.Errorf("%+q is shown as %+q", text, got)
		}
	}
	for text, want := range map[string]string{
		"می\u200c\u200cخ": "می\u200c⟦U+200C⟧خ", "❤\ufe0f\ufe0e": "❤\ufe0f⟦U+FE0E⟧", "a\u034fb": "a⟦U+034F⟧b", "a\u3164b": "a⟦U+3164⟧b", "a\ue000": "a⟦U+E000⟧",
		"a\r\nb\rc": "a\nb⟦U+000D⟧c", "\u200dक": "⟦U+200D⟧क", "\U0001F3F4\U000e0067\U000e007f": "\U0001F3F4⟦U+E0067⟧⟦U+E007F⟧",
		"❤\ufe0f\u200d\u200d": "❤\ufe0f\u200d⟦U+200D⟧",
	} {
		if got := visible(text); got != want {
			t.Errorf("%+q is shown as %+q, want %+q", text, got, want)
		}
	}
}

// TestScriptShowsTheSame checks that the page's script and the page without scripts show
// every character alike, after one that it may belong to and after others.
func TestScriptShowsTheSame(t *testing.T) {
	testkit.OnlyPlain(t, "one thing at a time")
	node := testkit.NeedsNode(t)
	var texts, want []string
	for _, before := range []string{"", "a", "क", "1", "❤\ufe0f", "❤\u200d", "\U0001F3F4", "\u202e", "\n"} {
		var b strings.Builder
		for r := range rune(unicode.MaxRune + 1) {
			if r >= 0xd800 && r <= 0xdfff || r > 0xf0010 && r < 0x10fff0 || !unicode.In(r, unicode.C, unicode.M, unicode.Z, unicode.Other_Default_Ignorable_Code_Point) && r > 0x2fff {
				continue
			}
			b.WriteString(before + string(r) + "x")
		}
		texts = append(texts, b.String())
		want = append(want, visible(b.String()))
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	words, err := files.ReadFile("script/format.js")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "--input-type=module", "--eval", string(words)+`
import { readFileSync } from "node:fs";
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(visible)));`)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var got []string
	if err := json.Unmarshal(out, &got); err != nil || len(got) != len(want) {
		t.Fatal(len(got), err)
	}
	for i := range want {
		a, b := strings.Split(got[i], "x"), strings.Split(want[i], "x")
		if len(a) != len(b) {
			t.Errorf("%d: %d characters, want %d", i, len(a), len(b))
			continue
		}
		for j := range b {
			if a[j] != b[j] {
				t.Errorf("the script shows %+q, the page %+q", a[j], b[j])
			}
		}
	}
}
