package page

import (
	"strings"
	"testing"
	"time"
)

func TestRequestWords(t *testing.T) {
	secret, plain, lines := Field{Name: "STRIPE_KEY", Secret: true}, Field{Name: "hidden"}, Field{Name: "PEM", Secret: true, Lines: true}
	for _, tc := range []struct {
		r    Request
		want []string
	}{
		{Request{Fields: []Field{secret}, Message: "Why?\n\u202e</blockquote><b>"}, []string{"asked for a secret<", "relay.test:1</bdi>, and writes:", "Why?\n⟦U+202E⟧</blockquote><b></blockquote>", `<label class="name" for="field-STRIPE_KEY">STRIPE_KEY<`, `type="password" id="field-STRIPE_KEY"`, `id="show-field-STRIPE_KEY"`, ">Secret.<"}},
		{Request{Fields: []Field{plain}, Relay: Relay{Name: "Team\u2066 X"}}, []string{"asked for a value<", "through the relay of <bdi>Team⟦U+2066⟧ X</bdi> (<bdi", "without a reason.", `type="text" id="field-hidden"`, "Not secret: it may be shown"}},
		{Request{Fields: []Field{secret, lines}}, []string{"asked for 2 secrets<", `<textarea class="value masked" rows="5" id="field-PEM"`, "Secret. May have several lines, or a text file can be dropped on it."}},
		{Request{Fields: []Field{secret, plain}}, []string{"asked for 2 values<"}},
		{Request{Files: true, MaxFiles: 20, MaxBytes: 50_000_000}, []string{"asked for files<", `<input class="sr" type="file" id="files" multiple`, "At most 20 files, 50.0 MB together."}},
		{Request{Files: true, MaxFiles: 1}, []string{"At most 1 file, "}},
	} {
		tc.r.Relay.Host, tc.r.ExpiresAt, tc.r.Now, tc.r.Question = "relay.test:1", now.Add(90*time.Second), now, `{"message":"\"'<&"}`
		got := written(t, tc.r, 1)
		for _, want := range append(tc.want, "28 March 2026, 12:01 UTC", `data-left="90000"`, `data-question="{"message":"\"'<&"}"`, "needs JavaScript", `kubbi-mcp answer "the whole link"`, "hidden novalidate") {
			if !strings.Contains(got, want) {
				t.Errorf("%+v: the page lacks %q", tc.r, want)
			}
		}
		if strings.Contains(got, "<form id=\"answer\" method") || strings.Contains(got, ` name="STRIPE_KEY`) {
			t.Error("a browser could send the form by itself")
		}
	}
}

func TestHomeWords(t *testing.T) {
	for _, tc := range []struct {
		h    Home
		want []string
	}{
		{Home{Local: true, MaxTTL: 86400}, []string{"<h1>kubbi-mcp on this machine</h1>", "answers nobody else", `<option value="3600" selected>1 hour<`, `value="86400">1 day<`, "uses this relay by itself"}},
		{Home{NeedsKey: true, MaxTTL: 3600, Relay: Relay{Name: "<b>\u202e", Contact: "mail@\u2066"}}, []string{"<h1><b>⟦U+202E⟧</h1>", "runs this relay", "mail@⟦U+2066⟧", `type="password" id="key"`, `"KUBBI_BASE_URL": "wss:kubbi.test"`}},
		{Home{NeedsKey: true, MaxTTL: 60}, []string{"<h1>A relay of kubbi-mcp</h1>", `value="600">10 minutes</option></select>`}},
	} {
		tc.h.Origin, tc.h.MaxFiles, tc.h.MaxBytes = "wss:kubbi.test", 3, 1000
		got := written(t, tc.h, 1)
		for _, want := range append(tc.want, `data-limits="{"bytes":1000,"files":3}"`, "At most 3 files, 1.0 kB together.", "needs JavaScript", "kubbi-mcp send --sealed FILE") {
			if !strings.Contains(got, want) {
				t.Errorf("%+v: the page lacks %q", tc.h, want)
			}
		}
		if strings.Contains(got, `id="key"`) != tc.h.NeedsKey || tc.h.MaxTTL == 3600 && strings.Contains(got, "8 hours") {
			t.Errorf("%+v: the form is wrong", tc.h)
		}
	}
}
