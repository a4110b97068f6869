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
		{Request{Fields: []Field{plain}, Relay: Relay{Name: "Team\u2066 X"}}, []string{"asked for a value<", "through the relay of <bdi>Team⟦U+2066⟧ X</bdi>, <bdi", "without a reason.", `type="text" id="field-hidden"`, "Not secret: it may be shown"}},
		{Request{Fields: []Field{secret, lines}}, []string{"asked for 2 secrets<", `<textarea class="value masked" rows="5" id="field-PEM"`, "Secret. May have several lines."}},
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
