package page

import (
	"bytes"
	"html"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

// written writes a page, and checks that its policy allows what is in it and no more: one
// style, and one script if there is a button.
func written(t *testing.T, p interface {
	SetHeaders(http.Header)
	Write(io.Writer) error
}, scripts int) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	p.SetHeaders(h)
	policy := h.Get("Content-Security-Policy")
	var hashes []string
	for _, m := range regexp.MustCompile(`(?s)<(style|script type="module")>(.*?)</(style|script)>`).FindAllStringSubmatch(b.String(), -1) {
		hashes = append(hashes, m[1][:5]+" "+hashOf(m[2]))
	}
	if len(hashes) != 1+scripts || !strings.Contains(policy, "style-src "+hashes[0][6:]+";") ||
		scripts == 1 && !strings.Contains(policy, "script-src "+hashes[1][6:]+";") || scripts == 0 && strings.Contains(policy, "script-src") {
		t.Errorf("policy %q does not go with %v", policy, hashes)
	}
	if found := regexp.MustCompile(`(?i)\son[a-z]+=|\sstyle=|javascript:|https?://`).FindString(regexp.MustCompile(`(?s)<(style|script|pre)[ >].*?</(style|script|pre)>`).ReplaceAllString(b.String(), "")); found != "" {
		t.Errorf("the page holds %q", found)
	}
	return html.UnescapeString(b.String())
}

func TestPreviewWords(t *testing.T) {
	one, three := 1, 3
	files := []File{{Name: "a.txt", ContentType: "text/plain", Size: 1}, {Name: "b.png", ContentType: "image/png", Role: "data", Size: 1500}}
	for _, tc := range []struct {
		k    Kubbi
		want []string
	}{
		{Kubbi{ContentType: "text/plain", Size: 1, Remaining: &one}, []string{"sent you a text<", "It is shown once, and then erased.", "Only once", ">1 byte<", "Show it now"}},
		{Kubbi{ContentType: "text/csv", Size: 999, Remaining: &three}, []string{"sent you a table<", "You can open it 3 times more before it is erased.", ">3 times<", ">999 bytes<"}},
		{Kubbi{ContentType: "application/json", Size: 1000}, []string{"sent you some data<", "You can open it until the time is up.", "As often as you like", ">1.0 kB<"}},
		{Kubbi{Package: true, Files: files[:1], Size: 1, Remaining: &one}, []string{"sent you a file<", "It is shown once", "1 file ", "Show it now"}},
		{Kubbi{Package: true, Files: files, Size: 1501, Remaining: &three}, []string{"sent you 2 files<", "You can open them 3 times more before they are erased.", "2 files ", ">a.txt<", "image (png), 1.5 kB, <span class=\"role\">data<", "Show them now"}},
		{Kubbi{ContentType: "text/plain", Size: 2_000_000, Seal: &Seal{2, "kid", false}}, []string{"something secret<", "about 2.0 MB", `data-version="2" data-kid="kid"`, "needs JavaScript", `<form id="claim" hidden autocomplete="off">`}},
		{Kubbi{Package: true, Files: files, Size: 1, Seal: &Seal{2, "kid", false}}, []string{"something secret<", "<dd>encrypted", "nobody else can see"}},
		{Kubbi{Package: true, Size: 1, Seal: &Seal{2, "kid", true}}, []string{`data-kid="kid" data-to`, "Only whoever this was sent to has the key.", "No browser has that key. Use the program kubbi-mcp where it is,"}},
	} {
		tc.k.ExpiresAt = now.Add(90 * time.Second)
		got := written(t, Preview{Kubbi: tc.k, Relay: Relay{Host: "relay.test", Name: "us"}, Says: []Said{{"from\u202e", "<b>"}}, Claim: "/r/x/claim", Key: "k", Now: now}, 1)
		for _, want := range append(tc.want, "28 March 2026, 12:01 UTC", `data-left="90000"`, `name="key" value="k"`, "the relay of <bdi>us</bdi> (<bdi", "<dt>from⟦U+202E⟧</dt> <dd dir=\"auto\"><b></dd>") {
			if !strings.Contains(got, want) {
				t.Errorf("%+v: the page lacks %q", tc.k, want)
			}
		}
		if tc.k.Seal != nil && (strings.Contains(got, "a.txt") || strings.Contains(got, "/r/x/claim")) {
			t.Error("a sealed kubbi's page offers what it should not")
		}
	}
}

func TestProblemWords(t *testing.T) {
	seen := map[string]bool{}
	for reason := Failed; reason <= Withdrawn; reason++ {
		p := Problem{Reason: reason, Back: "/r/<x>", Retry: 1500 * time.Millisecond}
		got := written(t, p, 0)
		w := p.Text()
		if w.Title == "" || w.Lead == "" || w.Advice == "" || seen[w.Title] || !strings.Contains(got, w.Lead) || !strings.Contains(got, "in 2 seconds.") || !strings.Contains(got, `href="/r/%3cx%3e"`) {
			t.Errorf("reason %d: %q", reason, got)
		}
		seen[w.Title] = true
	}
}

// TestHostile checks that no part of a payload becomes a part of the page.
func TestHostile(t *testing.T) {
	const evil = "</pre></style></script><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\u2066\u0000\u009b\U000e0041\r\n\r"
	o := Payload{Package: true, CreatedAt: now, ExpiresAt: now, Items: []Item{
		{Name: evil, ContentType: "text/" + evil, Role: evil, Data: []byte(evil)},
		{Name: "a.json", ContentType: "application/json", Data: []byte(`{"</li><b>\u202e":"<b>","` + "\u202e" + `":[` + strings.Repeat("1,", 30) + `1]}`)},
		{Name: "a.svg", ContentType: "image/svg+xml", Data: []byte("<svg/>")},
		{Name: "a.png", ContentType: "image/png", Data: []byte("not a png")},
	}}
	var b bytes.Buffer
	if err := o.Write(&b); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	if strings.Contains(got, "<script") || strings.Contains(got, "<img src=x") || strings.Contains(got, "<b>") || strings.ContainsFunc(got, hidden) ||
		strings.Count(got, "<img ") != 1 || strings.Contains(got, `src="data:image/svg`) || strings.Count(got, "</pre>") != strings.Count(got, "<pre ") {
		t.Errorf("the page holds what a payload put there: %s", got)
	}
	for _, want := range []string{"⟦U&#43;202E⟧", "⟦U&#43;0000⟧", "⟦U&#43;009B⟧", "⟦U&#43;E0041⟧", "⟦U&#43;000D⟧", "<details><summary>"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestItems(t *testing.T) {
	long := strings.Repeat("é", maxText)
	for name, tc := range map[string]struct {
		item   Item
		text   string
		cut    bool
		isTree bool
	}{
		"text":        {Item{ContentType: "text/plain", Data: []byte("a\r\nb")}, "a\nb", false, false},
		"NUL in text": {Item{ContentType: "text/plain", Data: []byte("a\x00")}, "a⟦U+0000⟧", false, false},
		"NUL in data": {Item{ContentType: "a/b", Data: []byte("a\x00")}, "", false, false},
		"not UTF-8":   {Item{ContentType: "text/plain", Data: []byte("\xff")}, "", false, false},
		"source":      {Item{ContentType: "application/x-sh", Data: []byte("ls")}, "ls", false, false},
		"sound":       {Item{ContentType: "audio/wav", Data: []byte("RIFF")}, "", false, false},
		"long":        {Item{ContentType: "text/plain", Data: []byte("x" + long)}, "x" + long[:maxText-2], true, false},
		"plain JSON":  {Item{ContentType: "application/json", Data: []byte("1.0")}, "1.0", false, false},
		"JSON":        {Item{ContentType: "application/ld+json", Data: []byte(`{"a":1,"a":[]}`)}, "{\n  \"a\": 1,\n  \"a\": []\n}", false, true},
		"no JSON":     {Item{ContentType: "application/json", Data: []byte(`{"a"`)}, `{"a"`, false, false},
		"deep":        {Item{ContentType: "application/json", Data: []byte(strings.Repeat("[", 100) + strings.Repeat("]", 100))}, "", false, false},
		"wide":        {Item{ContentType: "application/json", Data: []byte("[" + strings.Repeat("1,", maxNodes) + "1]")}, "", false, false},
	} {
		if tc.item.Masked() != strings.Contains(name, "NUL in text") {
			t.Errorf("%s: masked is %v", name, tc.item.Masked())
		}
		got := tc.item.Text()
		if (tc.text != "" || !slices.Contains([]string{"deep", "wide"}, name)) && got != tc.text || tc.item.Cut() != tc.cut || (tc.item.Tree() != nil) != tc.isTree {
			t.Errorf("%s: %.50q, cut is %v, tree is %v", name, got, tc.item.Cut(), tc.item.Tree() != nil)
		}
	}
}
