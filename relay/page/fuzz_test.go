package page

import (
	"bytes"
	"encoding/base64"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"

	"kubbi-mcp/internal/filename"
)

// Elements and attributes of our own pages. A sender's text must not make others.
var (
	ownElements = strings.Fields("html head meta link title style body header svg path span main section h1 h2 p dl div dt dd time ul li bdi code strong " +
		"form input button article a pre details summary img footer script blockquote label textarea output progress")
	ownAttributes = strings.Fields("lang charset name content rel href class viewbox aria-hidden focusable d id aria-labelledby tabindex hidden role method action " +
		"autocomplete type value dir download alt src open aria-label datetime data-left data-expires data-sealed data-version data-kid data-files " +
		"data-question data-name novalidate rows for aria-required aria-describedby autocapitalize autocorrect spellcheck data-1p-ignore data-bwignore data-lpignore max")
)

// FuzzPages writes pages of whatever a sender may send, and parses them as a browser
// does. They must hold only our own elements, nothing that runs or links elsewhere, no
// invisible characters, and the payload as it was sent.
func FuzzPages(f *testing.F) {
	const evil = "</pre></title></style></script><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\u2066\x00\u009b\U000e0041\r\n\r"
	for _, data := range []string{
		"", "plain", "\na\r\nb\rc", evil, "\xff\xfe", "a\x00b", "<!--", "]]>", "&lt;b&gt;", "{{.}}", "`${1}`", "yield /</script>/",
		`{"</li><b>":"<b>","a":[1,2,{"b":null}],"a":"` + "\u202e" + `"}`, `[[[[]]]]`, `"x"`, "1e999", "👩‍💻\u200d\u200d", "\ufeffa",
	} {
		for _, contentType := range []string{"text/plain", "application/json", "image/png", "image/svg+xml"} {
			f.Add("a.txt", contentType, "data", []byte(data), "kid", true)
		}
		f.Add(data, "text/"+data, data, []byte(data), data, false)
	}
	f.Fuzz(func(t *testing.T, name, contentType, role string, data []byte, kid string, single bool) {
		for _, s := range []*string{&name, &contentType, &role, &kid} {
			*s = strings.ToValidUTF8(*s, "?") // like JSON
		}
		text := strings.ToValidUTF8(string(data), "?")
		item := Item{Name: name, ContentType: contentType, Role: role, Data: data}
		opened := Payload{Package: !single, Items: []Item{item, {Name: "b", ContentType: "text/plain"}}, CreatedAt: now, ExpiresAt: now}
		if single || filename.Fault(name) != "" { // a zip holds names that the API allows
			opened.Items = opened.Items[:1]
		}
		checkPage(t, opened, nil, &item)
		k := Kubbi{Package: !single, ContentType: contentType, Size: item.Size(), ExpiresAt: now}
		if !single {
			k.Files = []File{{Name: name, ContentType: contentType, Role: role, Size: item.Size()}}
		}
		said, relay := []Said{{name, role}, {role, text}}, Relay{Host: "x", Name: role}
		checkPage(t, Preview{Kubbi: k, Relay: relay, Says: said, Claim: "/r/x/claim", Key: "k", Now: now}, &k, nil)
		asked := Request{Relay: relay, Question: name, Message: text, Fields: []Field{{"A", true, false}, {"B", false, true}}, ExpiresAt: now, Now: now}
		checkPage(t, asked, &Kubbi{}, nil)
		k.Seal = &Seal{Version: len(data), KID: kid}
		checkPage(t, Preview{Kubbi: k, Claim: "/r/x/claim", Key: "k", Now: now}, &k, nil)
	})
}

// checkPage parses a page: that of a payload whose first item is given, or that
// of an inspected kubbi.
func checkPage(t *testing.T, p interface{ Write(io.Writer) error }, k *Kubbi, first *Item) {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var saved, pre, heads, scripts []string
	for n := range doc.Descendants() {
		switch n.Type {
		case html.CommentNode, html.RawNode, html.ErrorNode:
			t.Fatalf("the page holds a comment: %q", n.Data)
		case html.TextNode:
			switch parent := n.Parent.Data; parent {
			case "script":
				scripts = append(scripts, n.Data)
			case "style":
				if n.Data != style {
					t.Fatalf("the style is %q", n.Data)
				}
			default:
				checkSeen(t, n.Data)
			}
		case html.ElementNode:
			if !slices.Contains(ownElements, n.Data) {
				t.Fatalf("the page holds <%s>: %s", n.Data, b.Bytes())
			}
			checkAttributes(t, n, &saved)
			switch {
			case n.Data == "pre":
				pre = append(pre, textIn(n))
			case n.Data == "h2" && n.Parent.Data == "article", n.Data == "bdi" && n.Parent.Data == "li":
				heads = append(heads, textIn(n))
			}
		}
	}
	if k != nil {
		if len(scripts) != 1 || scripts[0] != script && scripts[0] != requestScript || len(saved)+len(pre) > 0 {
			t.Fatalf("the page has %d scripts, %d links and %d texts", len(scripts), len(saved), len(pre))
		}
		if k.Package && k.Seal == nil && (len(heads) != 1 || heads[0] != newlines(visible(k.Files[0].Name))) {
			t.Fatalf("the names are %q", heads)
		}
		return
	}
	o := p.(Payload)
	if len(scripts) > 0 || len(heads) != len(o.Items) || !slices.Contains(saved, string(first.Data)) {
		t.Fatalf("the page has %d scripts, %d items, and saves %q", len(scripts), len(heads), saved)
	}
	if text := first.Text(); text != "" && (len(pre) == 0 || pre[0] != text) {
		t.Fatalf("the page shows %q, not %q", pre, text)
	}
	if want := newlines(visible(first.Name)); want != "" && heads[0] != want {
		t.Fatalf("the name is %q, not %q", heads[0], want)
	}
}

// newlines writes line breaks as HTML reads them. Only this test has them in names.
func newlines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

func textIn(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

// checkAttributes looks at an element's attributes, and adds what a link saves.
func checkAttributes(t *testing.T, n *html.Node, saved *[]string) {
	t.Helper()
	for _, a := range n.Attr {
		ok := slices.Contains(ownAttributes, strings.ToLower(a.Key))
		switch a.Key {
		case "href":
			data, isFile := strings.CutPrefix(a.Val, "data:application/octet-stream;base64,")
			_, isZip := strings.CutPrefix(a.Val, "data:application/zip;base64,")
			ok = isFile || isZip || n.Data == "link" && strings.HasPrefix(a.Val, "data:image/svg+xml;base64,")
			if b, err := base64.StdEncoding.DecodeString(data); isFile && err == nil {
				*saved = append(*saved, string(b))
			}
		case "src":
			ok = n.Data == "img" && slices.ContainsFunc(rasters, func(r string) bool { return strings.HasPrefix(a.Val, "data:"+r+";base64,") })
		case "action":
			ok = a.Val == "/r/x/claim"
		case "alt", "aria-label", "download":
			checkSeen(t, a.Val)
		case "data-kid", "data-question":
			ok = utf8.ValidString(a.Val)
		}
		if !ok {
			t.Fatalf("<%s> has %s=%.200q", n.Data, a.Key, a.Val)
		}
	}
}

// checkSeen looks for invisible characters that do not belong to the character before
// them.
func checkSeen(t *testing.T, text string) {
	t.Helper()
	if _, masked := mask(text); masked {
		t.Fatalf("characters that can't be seen are in %q", text)
	}
}
