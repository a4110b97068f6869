package relay_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/page"
	"kubbi-mcp/relay/relaytest"
	"kubbi-mcp/relay/store"
)

// What browsers send when a person opens a link.
const (
	chrome  = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
	firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
)

var formKey = regexp.MustCompile(`name="key" value="([A-Za-z0-9_-]{43})"`)

// wantPage checks an HTML answer and returns its text.
func wantPage(t testing.TB, a answer, status int, texts ...string) string {
	t.Helper()
	if a.status != status || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("answer is %d %s: %.200s", a.status, a.header.Get("Content-Type"), a.body)
	}
	body := html.UnescapeString(string(a.body))
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Vary": "Accept",
		"X-Robots-Tag": "noindex, nofollow, noarchive", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := a.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	policy := a.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") ||
		!strings.Contains(policy, "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'") {
		t.Errorf("policy is %q", policy)
	}
	return string(a.body)
}

// submit sends the claim page's form as a browser does.
func (r rig) submit(token, key string, headers ...string) answer {
	r.t.Helper()
	return r.call("POST", "/r/"+token+"/claim", url.Values{"key": {key}}.Encode(), append([]string{
		"Accept", firefox, "Content-Type", "application/x-www-form-urlencoded", "Origin", r.URL,
	}, headers...)...)
}

// press opens the claim page and presses its button.
func (r rig) press(token string) answer {
	r.t.Helper()
	m := formKey.FindStringSubmatch(wantPage(r.t, r.call("GET", "/r/"+token, "", "Accept", firefox), 200))
	if m == nil {
		r.t.Fatal("the page has no form")
	}
	return r.submit(token, m[1])
}

func TestPageNegotiation(t *testing.T) {
	r := newRig(t)
	c := r.text("x", "")
	for accept, want := range map[string]bool{
		chrome: true, firefox: true, "text/html": true, "TEXT/HTML;level=1": true,
		"application/json;q=0.5, text/html": true, "text/html;q=0.2": true,
		"": false, "*/*": false, "text/*": false, "application/json": false, "application/json, text/html": false,
		"application/json, text/plain, */*": false, "text/html;q=0": false, "application/json, text/html;q=0.9": false,
		"text/html;q=x": false, "text/htmlx": false, "application/xhtml+xml": false,
	} {
		a := r.call("GET", "/r/"+c.ClaimToken, "", "Accept", accept)
		if got := strings.HasPrefix(a.header.Get("Content-Type"), "text/html"); a.status != 200 || got != want || a.header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: %d %v, Vary %q", accept, a.status, got, a.header.Get("Vary"))
		}
	}
	// A client that asks for JSON gets JSON, whatever a browser gets.
	for _, path := range []string{"/inspect", "/claim"} {
		if a := r.call("GET", "/r/"+noToken+path, "", "Accept", "application/json"); a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s", path, a.header.Get("Content-Type"))
		}
	}
	wantError(t, r.call("GET", "/r/"+noToken+"/inspect", "", "Accept", firefox), api.CodeNotFound, "")
	wantError(t, r.call("GET", "/nowhere", "", "Accept", firefox), api.CodeNotFound, "")
	// A claim is answered with a page only where a form was sent.
	a := r.call("POST", "/r/"+c.ClaimToken+"/claim", "", "Accept", firefox)
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("claim without a form: %d %v", a.status, a.header)
	}
	if a := r.submit(c.ClaimToken, keyOne, "Accept", "*/*"); a.header.Get("Content-Type") != "application/json" {
		t.Errorf("a form whose sender wants JSON: %v", a.header)
	}
}

// TestPreviewsCountNothing opens a claim URL as link checkers do before a person opens
// it.
func TestPreviewsCountNothing(t *testing.T) {
	r := newRig(t)
	c := r.text("x", `,"max_retrievals":1`)
	for agent, accept := range map[string]string{
		"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)": "*/*",
		"Twitterbot/1.0": "text/html, application/xhtml+xml, */*",
		"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)":                                 "*/*",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120 Safari/537.36": chrome, // Outlook's Safe Links looks like a browser
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                                  firefox,
		"WhatsApp/2.23.20.0": "", "TelegramBot (like TwitterBot)": "*/*", "curl/8.5.0": "*/*", "Wget/1.21.4": "*/*",
		"LinkedInBot/1.0": "*/*", "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)": "text/html", "python-requests/2.32": "*/*", "": "",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			for _, path := range []string{"", "/inspect"} {
				for _, purpose := range []string{"", "prefetch", "prefetch;prerender"} {
					a := r.call(method, "/r/"+c.ClaimToken+path, "", "User-Agent", agent, "Accept", accept, "Sec-Purpose", purpose)
					if a.status != 200 || (len(a.body) == 0) != (method == "HEAD") {
						t.Errorf("%s %q as %q: %d, %d bytes", method, path, agent, a.status, len(a.body))
					}
				}
			}
			if a := r.call(method, "/r/"+c.ClaimToken+"/claim", "", "User-Agent", agent, "Accept", accept); a.status != 405 {
				t.Errorf("%s of the claim as %q: %d", method, agent, a.status)
			}
		}
	}
	var k api.Kubbi
	decode(t, r.call("GET", api.PathKubbi+c.ID, "").body, &k)
	if k.RetrievalCount != 0 || k.Status != api.StatusActive {
		t.Errorf("after the previews: %d retrievals, %s", k.RetrievalCount, k.Status)
	}
	if a := r.claim(c.ClaimToken); a.status != 200 {
		t.Errorf("claim: %s", a.body)
	}
}

func TestPageWithoutScripts(t *testing.T) {
	r := newRig(t)
	c := r.text("<b>hi</b>\u202e & \"bye\"\n", `,"max_retrievals":2`)
	preview := wantPage(t, r.call("GET", "/r/"+c.ClaimToken, "", "Accept", firefox), 200,
		"Somebody has sent you a text", "You can open it twice more before it is erased.", "28 March 2026, 13:00 UTC", `action="/r/`+c.ClaimToken+`/claim"`)
	key := formKey.FindStringSubmatch(preview)[1]
	for range 2 { // a page that is loaded again counts once
		a := r.submit(c.ClaimToken, key)
		body := wantPage(t, a, 200, "Here it is", "It can be opened once more", `download="content.txt"`)
		if !strings.Contains(body, "&lt;b&gt;hi&lt;/b&gt;⟦U&#43;202E⟧ &amp; &#34;bye&#34;") || strings.Contains(body, "\u202e") || strings.Contains(body, "<script") {
			t.Errorf("the text is not shown as text: %s", body)
		}
		if a.header.Get(api.HeaderRemainingReads) != "1" {
			t.Errorf("remaining reads %q", a.header.Get(api.HeaderRemainingReads))
		}
		if got := saved(t, body, "content.txt"); string(got) != "<b>hi</b>\u202e & \"bye\"\n" {
			t.Errorf("saved as %q", got)
		}
	}
	wantPage(t, r.press(c.ClaimToken), 200, "Burned.", "This was the last time", "Characters that can't be seen")
	wantPage(t, r.submit(c.ClaimToken, keyTwo), 410, "Already opened")

	c = r.create(`{"content":{"z":1.50,"a":[true,null,12345678901234567890,{"<i>":"\u0007"}]},"content_type":"application/json","ttl_seconds":60}`)
	body := wantPage(t, r.press(c.ClaimToken), 200, "It can be opened again until", `<details open><summary>`, "2 members", "4 items",
		`<span class="key">z</span><span class="colon">: </span><span class="number">1.50</span>`, `<span class="number">12345678901234567890</span>`)
	if got := saved(t, body, "content.json"); string(got) != `{"z":1.50,"a":[true,null,12345678901234567890,{"<i>":"\u0007"}]}` {
		t.Errorf("saved as %s", got)
	}
}

// saved returns what a link of the page saves under that name.
func saved(t testing.TB, body, name string) []byte {
	t.Helper()
	m := regexp.MustCompile(`download="` + regexp.QuoteMeta(name) + `" href="data:application/[a-z-]+;base64,([^"]*)"`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("nothing is to be saved as %s", name)
	}
	b, err := base64.StdEncoding.DecodeString(html.UnescapeString(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPagePackageWithoutScripts(t *testing.T) {
	r := newRig(t)
	dot := "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	c := r.create(`{"files":[
		{"name":"a.svg","content":"<svg onload=alert(1)>","content_type":"image/svg+xml","role":"data"},
		{"name":"dot.png","content":"` + dot + `","content_type":"image/png","encoding":"base64"},
		{"name":"empty.html","content":"","content_type":"text/html"}],"ttl_seconds":3600,"max_retrievals":1}`)
	wantPage(t, r.call("GET", "/r/"+c.ClaimToken, "", "Accept", chrome), 200, "Somebody has sent you 3 files", "They are shown once, and then erased.", "dot.png", "image (png)")
	body := wantPage(t, r.press(c.ClaimToken), 200, "Here are your 3 files", "Burned.", `src="data:image/png;base64,`+dot, "It is empty.")
	if strings.Contains(body, "<svg onload") || strings.Contains(body, `src="data:image/svg`) || strings.Contains(body, "data:text/html") {
		t.Error("what may hold scripts is shown as itself")
	}
	files := unzip(t, saved(t, body, page.ZipName))
	if len(files) != 3 || files["a.svg"] != "<svg onload=alert(1)>" || base64.StdEncoding.EncodeToString([]byte(files["dot.png"])) != dot || files["empty.html"] != "" {
		t.Errorf("the zip holds %q", files)
	}
}

// TestPageNames shows and saves files of every script under their names, one by
// one and in a zip.
func TestPageNames(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "internal", "filename", "testdata", "names.json"))
	if err != nil {
		t.Fatal(err)
	}
	var table struct{ Good []string }
	if err := json.Unmarshal(b, &table); err != nil || len(table.Good) == 0 {
		t.Fatal(err)
	}
	r := newRig(t)
	for names := range slices.Chunk(table.Good, 10) {
		var files []map[string]string
		want, folds := map[string]string{}, map[string]bool{}
		for _, name := range names {
			if fold := filename.Fold(name); !folds[fold] { // a package can't hold both forms of a name
				folds[fold], want[name] = true, "content of "+name
				files = append(files, map[string]string{"name": name, "content": want[name], "content_type": "text/plain"})
			}
		}
		body, err := json.Marshal(map[string]any{"ttl_seconds": 60, "max_retrievals": 1, "files": files})
		if err != nil {
			t.Fatal(err)
		}
		c := r.create(string(body))
		shown := wantPage(t, r.press(c.ClaimToken), 200, "Here are your")
		for name, content := range want {
			if strings.Contains(name, "\U000e0067") {
				continue // the tags of a flag are shown as such
			}
			if got := string(saved(t, shown, strings.ReplaceAll(html.EscapeString(name), "+", "&#43;"))); got != content {
				t.Errorf("%q is saved as %q", name, got)
			}
		}
		if diff := cmp.Diff(want, unzip(t, saved(t, shown, page.ZipName))); diff != "" {
			t.Errorf("the zip (-want +got):\n%s", diff)
		}
	}
}

func unzip(t testing.TB, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		if f.NonUTF8 {
			t.Errorf("the zip does not say that %q is UTF-8", f.Name)
		}
		src, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(src)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(data)
	}
	return files
}

// TestLargeWithoutScripts claims payloads that are too large for a page.
func TestLargeWithoutScripts(t *testing.T) {
	testkit.OnlyPlain(t, "one request at a time")
	r := newRig(t)
	binary, text := bytes.Repeat([]byte{0, 255, 'x'}, 1<<20), strings.Repeat("é\t", page.MaxShown/2)
	body, err := json.Marshal(map[string]any{"ttl_seconds": 60, "max_retrievals": 1, "files": []map[string]string{
		{"name": "a.bin", "content": base64.StdEncoding.EncodeToString(binary), "content_type": "a/b", "encoding": "base64"},
		{"name": "b.txt", "content": text, "content_type": "text/plain"}, {"name": "c", "content": "", "content_type": "text/plain"}}})
	if err != nil {
		t.Fatal(err)
	}
	c := r.create(string(body))
	wantPage(t, r.call("GET", "/r/"+c.ClaimToken, "", "Accept", firefox), 200, "as one zip file")
	a := r.press(c.ClaimToken)
	if a.status != 200 || a.header.Get("Content-Type") != "application/octet-stream" || a.header.Get("Content-Disposition") != "attachment; filename=kubbi.zip" {
		t.Fatalf("large package: %d %v", a.status, a.header)
	}
	if files := unzip(t, a.body); len(files) != 3 || files["a.bin"] != string(binary) || files["b.txt"] != text || files["c"] != "" {
		t.Errorf("the zip holds %d files, or others", len(files))
	}
	a = r.press(r.text(text, "").ClaimToken)
	if a.header.Get("Content-Disposition") != "attachment; filename=content.txt" || string(a.body) != text {
		t.Errorf("large text: %v, %d bytes", a.header, len(a.body))
	}
}

func TestPageProblems(t *testing.T) {
	r := newRig(t)
	deleted, expired := r.text("x", ""), r.create(`{"content":"x","content_type":"text/plain","ttl_seconds":60}`)
	r.call("DELETE", api.PathKubbi+deleted.ID, "")
	r.Clock.Advance(time.Minute)
	get := func(path string) answer { return r.call("GET", "/r/"+path, "", "Accept", firefox) }
	wantPage(t, get(deleted.ClaimToken), 410, "Taken back")
	wantPage(t, get(expired.ClaimToken), 410, "Too late")
	wantPage(t, r.submit(expired.ClaimToken, keyOne), 410, "Too late")
	for _, path := range []string{noToken, "short", noToken + "/other"} {
		wantPage(t, get(path), 404, "There is nothing here")
	}
	if a := r.call("HEAD", "/r/"+noToken, "", "Accept", firefox); a.status != 404 || len(a.body) != 0 || a.header.Get("Content-Security-Policy") == "" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	live := r.text("x", `,"max_retrievals":1`)
	body := wantPage(t, get(live.ClaimToken+"/claim"), 405, "Open the link that you were sent", `href="/r/`+live.ClaimToken+`"`)
	if strings.Contains(body, "<script") {
		t.Error("a page without a button has a script")
	}
	wantPage(t, r.submit(live.ClaimToken, strings.Repeat("k", 256)), 400, "not allowed here")
	wantPage(t, r.submit(live.ClaimToken, strings.Repeat("k", 5000)), 400, "not allowed here")
	// A page of another site can't send the form.
	for _, h := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "http://127.0.0.1:1"}, {"Origin", ":"}} {
		wantPage(t, r.submit(live.ClaimToken, keyOne, h[0], h[1]), 400, "nothing was opened")
	}
	for _, h := range [][2]string{{"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "none"}, {"Origin", r.URL}} {
		wantPage(t, r.submit(live.ClaimToken, keyOne, h[0], h[1]), 200, "Burned.")
	}
}

func TestPageOfFailures(t *testing.T) {
	db := &troubled{}
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) {
		db.Store = c.Store
		c.Store, c.GuessLimit = db, 1
	})
	c := tm.create(0, tm.key("kb_a", store.APIKey{}), small)
	get := func(token string) answer { return tm.call(0, "", "GET", "/r/"+token, "", "Accept", firefox) }
	db.inspect = func() error { return store.ErrUnavailable }
	a := get(c.ClaimToken)
	wantPage(t, a, http.StatusServiceUnavailable, "Not available right now")
	wantWait(t, a, "1")
	db.inspect = func() error { panic("p4nic") }
	wantPage(t, get(c.ClaimToken), 500, "Something went wrong")
	db.inspect = nil
	wantPage(t, get(noToken), 404, "There is nothing here")
	a = get(noToken)
	wantPage(t, a, 429, "Too many wrong links", "possible again in 60 seconds")
	wantWait(t, a, "60")
}

// TestSealedPage checks that a sealed kubbi has a page, and no button without scripts.
func TestSealedPage(t *testing.T) {
	r := newRig(t)
	for metadata, want := range map[string]string{
		`{"sealed":{"v":2,"kid":"XrpNgJrXtpReW7UW"}}`: ` data-sealed data-version="2" data-kid="XrpNgJrXtpReW7UW"`,
		`{"sealed":{"v":2,"kid":"\"><b>"}}`:           ` data-sealed data-version="2" data-kid="&#34;&gt;&lt;b&gt;"`,
		`{"sealed":{"v":"x"}}`:                        ` data-sealed data-version="0" data-kid=""`,
		`{"sealed":true}`:                             "",
	} {
		c := r.text("x", `,"metadata":`+metadata)
		body := wantPage(t, r.call("GET", "/r/"+c.ClaimToken, "", "Accept", firefox), 200, "Somebody has sent you")
		sealed := strings.Contains(body, "needs JavaScript") && strings.Contains(body, `<form id="claim" hidden autocomplete="off">`)
		if sealed != (want != "") || !strings.Contains(body, want) {
			t.Errorf("%s: shown as sealed: %v", metadata, sealed)
		}
	}
}

// TestPageTellsNoSecrets checks that the log holds no token, key or payload of a page,
// and that a page shows no more of a kubbi than an inspect. What its sender says is shown as
// text, without the seal.
func TestPageTellsNoSecrets(t *testing.T) {
	var logged lockedBuffer
	r := newRig(t, relaytest.WithLogger(slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	c := r.text("p4yl0ad-marker", `,"max_retrievals":1,"metadata":{"k\u202e":"<m3tadata>\u0000","sealed":true,"n":[1,{"x":"\u202e"}]}`)
	body := wantPage(t, r.call("GET", "/r/"+c.ClaimToken, "", "Accept", firefox), 200,
		"<dt>k⟦U+202E⟧</dt> <dd dir=\"auto\"><m3tadata>⟦U+0000⟧</dd>", `<dd dir="auto">[1,{"x":"⟦U+202E⟧"}]</dd>`, "the relay at <bdi")
	if strings.Contains(body, "p4yl0ad-marker") || strings.Contains(body, "<m3tadata>") || strings.Contains(body, "<dt>sealed") || strings.Contains(body, c.ID) {
		t.Error("the page before the button shows too much")
	}
	r.submit(c.ClaimToken, "1dempotency-marker-0123456789", "Sec-Fetch-Site", "cross-site")
	wantPage(t, r.submit(c.ClaimToken, "1dempotency-marker-0123456789"), 200, "p4yl0ad-marker")
	wantPage(t, r.submit(c.ClaimToken, "other-marker-0123456789"), 410)
	// A relay logs a request after its answer.
	testkit.Await(t, "three claims in the log", func() bool { return strings.Count(logged.String(), `"route":"/r/{token}/claim"`) == 3 })
	out := logged.String()
	if strings.Contains(out, "-marker") || strings.Contains(out, c.ClaimToken) {
		t.Errorf("the log: %s", out)
	}
}
