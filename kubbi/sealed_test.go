package kubbi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/kubbi/api"
)

// answerOf is the answer to a claim of a ciphertext.
func answerOf(key *sealKey, sealed []byte, metadata jsontext.Value) *api.ClaimResponse {
	return &api.ClaimResponse{Type: api.TypePackage, FileCount: new(1), Metadata: json.RawMessage(metadata), Files: []api.ClaimedFile{{
		Name: api.SealedName, ContentType: api.TypeSealed, SizeBytes: int64(len(sealed)),
		Content: base64.StdEncoding.EncodeToString(sealed), Encoding: api.EncodingBase64,
	}}}
}

// openBoth opens an answer in memory, and as one that is kept and one that is under
// way. All must agree.
func openBoth(t testing.TB, key *sealKey, r *api.ClaimResponse) error {
	t.Helper()
	parts := func() *Spooled {
		out, err := (&Claimed{ClaimResponse: *r}).Spooled()
		if err != nil {
			return &Spooled{ClaimResponse: *r}
		}
		return out
	}
	kept, coming := parts(), parts()
	keptErr := checkSealed(key, kept, func() error { return key.openKept(kept) })
	var read [][]byte
	comingErr := checkSealed(key, coming, func() error {
		_, end, err := key.openComing(coming, func() error { return nil })
		if err != nil {
			return err
		}
		for _, p := range coming.Parts {
			b, err := readPart(p)
			if err != nil {
				return err
			}
			read = append(read, b)
		}
		return end()
	})
	err := openClaim(key, r)
	if err != nil {
		// Only in memory is a content looked into.
		if keptErr == nil && !strings.Contains(err.Error(), errSealForm.Error()) || (keptErr == nil) != (comingErr == nil) {
			t.Fatalf("in memory: %v; kept: %v; under way: %v", err, keptErr, comingErr)
		}
		return err
	}
	if keptErr != nil || comingErr != nil {
		t.Fatalf("in memory it opens; kept: %v; under way: %v", keptErr, comingErr)
	}
	want, err := (&Claimed{ClaimResponse: *r}).Spooled()
	if err != nil || len(want.Parts) != len(kept.Parts) || len(want.Parts) != len(read) {
		t.Fatalf("%d, %d and %d parts: %v", len(want.Parts), len(kept.Parts), len(read), err)
	}
	for i := range want.Parts {
		a, err := readPart(want.Parts[i])
		if err != nil {
			t.Fatal(err)
		}
		b, err := readPart(kept.Parts[len(kept.Parts)-1-i]) // in any order
		if i = len(kept.Parts) - 1 - i; err != nil || int64(len(b)) != kept.Parts[i].Size || !bytes.Equal(b, read[i]) {
			t.Fatalf("part %d is read in two ways, %v", i, err)
		}
		if i = len(kept.Parts) - 1 - i; !bytes.Equal(a, read[i]) {
			t.Fatalf("part %d is read in two ways", i)
		}
	}
	for _, out := range []*Spooled{kept, coming} {
		for i := range want.Parts {
			a, b := want.Parts[i], out.Parts[i]
			if a.Name != b.Name || a.ContentType != b.ContentType || a.Size != b.Size || !cmp.Equal(a.Role, b.Role) {
				t.Fatalf("part %d is %+v and %+v", i, a, b)
			}
		}
		if out.Type != r.Type || out.ContentType != r.ContentType || !cmp.Equal(out.FileCount, r.FileCount) || !bytes.Equal(out.Metadata, r.Metadata) {
			t.Fatalf("in memory it is %+v, spooled %+v", r, out.ClaimResponse)
		}
	}
	return nil
}

func checkSealed(key *sealKey, out *Spooled, open func() error) error {
	if e := checkSeal(key, out.Metadata); e != nil {
		return e
	}
	return open()
}

func readPart(p Part) ([]byte, error) {
	r, err := p.Open()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// TestOpenClaimRefuses: what opens but is not what a sender with a client like ours
// seals is refused, and nothing of it is shown.
func TestOpenClaimRefuses(t *testing.T) {
	key := testKey(1)
	m, err := key.mark(map[string]string{"from": "me"}, false)
	if err != nil {
		t.Fatal(err)
	}
	mark := string(m.Value)
	sealed := func(head, data string) *api.ClaimResponse {
		return answerOf(key, tinkSeal(t, key, []byte(strings.ReplaceAll(head, "META", `"metadata":`+mark)+data)), m.Value)
	}
	single := func(contentType, data string) *api.ClaimResponse {
		return sealed(`{"content_type":"`+contentType+`","content_bytes":`+jsonOf(t, len(data))+`,META}`+"\n", data)
	}
	file := func(members string) *api.ClaimResponse {
		return sealed(`{"files":[{`+members+`,"size_bytes":5}],META}`+"\n", "hello")
	}
	const good = `"name":"a","content_type":"text/plain"`
	for name, r := range map[string]*api.ClaimResponse{
		"a text": single("text/plain", "hello"), "an empty one": single("text/csv", ""), "JSON": single("application/json", `{"a":1}`),
		"a file": file(good), "with all members": file(good + `,"role":"data","encoding":"base64"`), "with more": file(good + `,"more":1`),
		"spaces": sealed(`{ "content_bytes" : 5 , "content_type":"text/plain", META }`+"\n", "hello"),
		"files":  sealed(`{"files":[{`+good+`,"size_bytes":0},{"name":"b","content_type":"a/b","size_bytes":5},{"name":"c","content_type":"a/b","size_bytes":0}],META}`+"\n", "hello"),
	} {
		if err := openBoth(t, key, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	change := func(f func(*api.ClaimResponse)) *api.ClaimResponse {
		r := single("text/plain", "hello")
		f(r)
		return r
	}
	for name, r := range map[string]*api.ClaimResponse{
		"nothing":                 sealed("", ""),
		"no head":                 sealed("hello", ""),
		"a head that is no JSON":  sealed("hello\n", ""),
		"a head without an end":   sealed(`{"content_type":"text/plain","content_bytes":0,META}`, ""),
		"a long head":             sealed(`{"content_type":"text/plain","content_bytes":0,META,"x":"`+strings.Repeat("x", api.MaxRawHead)+`"}`+"\n", ""),
		"no content":              sealed(`{"content_type":"text/plain",META}`+"\n", ""),
		"fewer bytes":             sealed(`{"content_type":"text/plain","content_bytes":6,META}`+"\n", "hello"),
		"more bytes":              sealed(`{"content_type":"text/plain","content_bytes":4,META}`+"\n", "hello"),
		"a negative size":         sealed(`{"content_type":"text/plain","content_bytes":-5,META}`+"\n", "hello"),
		"a size beyond all":       sealed(`{"files":[{`+good+`,"size_bytes":9223372036854775807},{"name":"b","content_type":"a/b","size_bytes":9223372036854775807}],META}`+"\n", "hello"),
		"another type":            single("image/png", "hello"),
		"no type":                 sealed(`{"content_bytes":5,META}`+"\n", "hello"),
		"text that is not UTF-8":  single("text/plain", "hello\xff"),
		"JSON that is none":       single("application/json", `{"hello":`),
		"no files":                sealed(`{"files":[],META}`+"\n", ""),
		"a name with a path":      file(`"name":"../a","content_type":"text/plain"`),
		"a name with a separator": file(`"name":"a/b","content_type":"text/plain"`),
		"a hidden name":           file(`"name":".a","content_type":"text/plain"`),
		"two dots":                file(`"name":"a..b","content_type":"text/plain"`),
		"a name with NUL":         file(`"name":"a\u0000","content_type":"text/plain"`),
		"no name":                 file(`"content_type":"text/plain"`),
		"a long name":             file(`"name":"` + strings.Repeat("a", 256) + `","content_type":"text/plain"`),
		"a number for a name":     file(`"name":1,"content_type":"text/plain"`),
		"a role of its own":       file(good + `,"role":"system"`),
		"an encoding":             file(good + `,"encoding":"gzip"`),
		"a type that is none":     file(`"name":"a","content_type":"text"`),
		"a type with a line end":  file(`"name":"a","content_type":"text/plain\nx"`),
		"two names, one folded":   sealed(`{"files":[{`+good+`,"size_bytes":5},{"name":"A","content_type":"a/b","size_bytes":0}],META}`+"\n", "hello"),
		"no metadata":             sealed(`{"content_type":"text/plain","content_bytes":5}`+"\n", "hello"),
		"metadata of null":        sealed(`{"content_type":"text/plain","content_bytes":5,"metadata":null}`+"\n", "hello"),
		"other metadata":          sealed(`{"content_type":"text/plain","content_bytes":5,"metadata":`+strings.Replace(mark, "me", "us", 1)+`}`+"\n", "hello"),
		"more metadata outside": change(func(r *api.ClaimResponse) {
			r.Metadata = json.RawMessage(strings.Replace(mark, `"from"`, `"x":1,"from"`, 1))
		}),
		"text, says the outside": change(func(r *api.ClaimResponse) {
			r.Metadata = json.RawMessage(strings.Replace(mark, `"v":2`, `"v":2,"text":true`, 1))
		}),
		"two files": change(func(r *api.ClaimResponse) { r.Files = append(r.Files, r.Files[0]) }),
		"no file":   change(func(r *api.ClaimResponse) { r.Files = []api.ClaimedFile{} }),
		"a content": change(func(r *api.ClaimResponse) {
			r.Type, r.ContentType, r.Content, r.Files = "", api.TypeText, json.RawMessage(`"hello"`), nil
		}),
		"text, not base64": change(func(r *api.ClaimResponse) { r.Files[0].Encoding, r.Files[0].Content = "", "hello" }),
		"another kubbi": change(func(r *api.ClaimResponse) {
			r.Files = answerOf(key, tinkSeal(t, testKey(2), []byte("hello")), nil).Files
		}),
		"base64 cut short":     change(func(r *api.ClaimResponse) { r.Files[0].Content = r.Files[0].Content[:40] }),
		"a byte of it":         change(func(r *api.ClaimResponse) { r.Files[0].Content = flipText(r.Files[0].Content, 100) }),
		"a byte of its header": change(func(r *api.ClaimResponse) { r.Files[0].Content = flipText(r.Files[0].Content, 10) }),
	} {
		before := *r
		err := openBoth(t, key, r)
		if e := asError(t, err); !errors.Is(err, ErrSealed) || errors.Is(err, ErrValidation) || !e.Uncertain || e.retryable() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantNone(t, "error", err.Error(), key.fragment()[2:], "hello", "from")
		if !cmp.Equal(before, *r) {
			t.Errorf("%s: refused, and opened in part", name)
		}
	}
	// The service may write the metadata in its own way.
	r := change(func(r *api.ClaimResponse) {
		r.Metadata = json.RawMessage(`{ "from":"\u006de", "sealed":{"kid":"` + key.id() + `","v":2}}`)
	})
	if err := openBoth(t, key, r); err != nil || string(r.Metadata) != mark {
		t.Errorf("metadata in another spelling: %v, %s", err, r.Metadata)
	}
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// flipText changes a character of base64.
func flipText(s string, at int) string {
	c := byte('A')
	if s[at] == 'A' {
		c = 'B'
	}
	return s[:at] + string(c) + s[at+1:]
}

func TestSealKeyOf(t *testing.T) {
	key := testKey(7)
	if got, err := sealKeyOf(key.fragment()); err != nil || *got != *key {
		t.Errorf("a key: %v", err)
	}
	if got, err := sealKeyOf(""); err != nil || got != nil {
		t.Errorf("no fragment: %v", err)
	}
	whole := key.fragment()
	for _, fragment := range []string{
		"k", "k=", "K=" + whole[2:], whole[2:], whole[:len(whole)-1], whole[:20], whole + "A", whole + "=", whole + "&x=1",
		"x&" + whole, whole + "#", "k=" + strings.Repeat("A", 42) + "B", "k=" + strings.Repeat("+", 43), "k=%41" + whole[3:],
	} {
		_, err := sealKeyOf(fragment)
		if !errors.Is(err, ErrSealed) || asError(t, err).Uncertain {
			t.Errorf("%q: %v", fragment, err)
		}
		wantNone(t, "error", err.Error(), whole[2:22])
	}
}

func TestSealMark(t *testing.T) {
	key := testKey(7)
	const mine = `"sealed":{"v":2,"kid":"` // and the kid
	for _, tt := range []struct {
		metadata any
		want     string
	}{
		{nil, `{` + mine + key.id() + `"}}`},
		{map[string]int{}, `{` + mine + key.id() + `"}}`},
		{json.RawMessage(` { "a" : [ 1 ] } `), `{` + mine + key.id() + `"},"a":[1]}`},
		{struct{ Sealed int }{1}, `{` + mine + key.id() + `"},"Sealed":1}`},
	} {
		m, err := key.mark(tt.metadata, false)
		if err != nil || string(m.Value) != tt.want {
			t.Errorf("%v: %s, %v; want %s", tt.metadata, m.Value, err, tt.want)
		}
		var seen Inspected
		seen.Metadata = json.RawMessage(m.Value)
		if e := checkSeal(key, m.Value); e != nil || !IsSealed(&seen) {
			t.Errorf("%v: the seal does not check: %v", tt.metadata, e)
		}
	}
	for _, metadata := range []any{[]int{1}, "x", map[string]any{"sealed": true}, json.RawMessage(`{"a":1,"a":2}`)} {
		if m, err := key.mark(metadata, false); !errors.Is(err, ErrValidation) {
			t.Errorf("%v: %s, %v", metadata, m.Value, err)
		}
	}
	if len(key.id()) != keyIDLength || key.id() == testKey(8).id() || strings.Contains(key.fragment(), key.id()) {
		t.Errorf("kid %s", key.id())
	}
}

func TestCheckSeal(t *testing.T) {
	key := testKey(7)
	for _, tt := range []struct {
		metadata string
		key      *sealKey
		says     string
	}{
		{``, nil, ""},
		{`null`, nil, ""},
		{`{"a":1}`, nil, ""},
		{`{"sealed":true}`, nil, ""},
		{`{"Sealed":{"v":1}}`, nil, ""},
		{`{"sealed":{"v":2,"kid":"` + key.id() + `"}}`, key, ""},
		{`{"sealed":{"v":2,"kid":"` + key.id() + `","more":1}}`, key, ""},
		{`{"sealed":{"v":2,"kid":"` + key.id() + `"}}`, nil, "was lost"},
		{`{"sealed":{"v":2,"kid":"` + testKey(8).id() + `"}}`, key, "another key"},
		{`{"sealed":{"v":2}}`, key, "another key"},
		{`{"sealed":{"v":1,"kid":"` + key.id() + `"}}`, key, "does not know"},
		{`{"sealed":{"v":"2"}}`, key, "does not know"},
		{`{"sealed":{}}`, nil, "does not know"},
		{`{"a":1}`, key, "is not sealed"},
		{`null`, key, "is not sealed"},
		{``, key, "is not sealed"},
		{`{"sealed":[]}`, key, "is not sealed"},
	} {
		e := checkSeal(tt.key, []byte(tt.metadata))
		if (e == nil) != (tt.says == "") || e != nil && !strings.Contains(e.Message, tt.says) {
			t.Errorf("%s with key %v: %v, want %q", tt.metadata, tt.key != nil, e, tt.says)
		}
	}
}
