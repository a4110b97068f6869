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

// openBoth opens an answer in memory, in a file, and as one on its way. All must agree.
// What is opened replaces r.
func openBoth(t testing.TB, key *sealKey, r *api.ClaimResponse) error {
	t.Helper()
	arriving := func() *arrival {
		return &arrival{Claimed: &Claimed{ClaimResponse: *r, Parts: partsOf(r)}, size: 1, end: func() error { return nil }}
	}
	place := func(k claim) (*Claimed, error) {
		if _, e := (&opener{key: key}).keyFor(r.Metadata); e != nil {
			return nil, spent(e)
		}
		k.key = key
		return k.place(arriving())
	}
	whole, err := place(claim{memory: 1})
	kept, keptErr := place(claim{memory: -1, config: claimConfig{file: func() (PayloadFile, error) { return payloadFile(t), nil }}})
	coming := arriving()
	var read [][]byte
	comingErr := func() error {
		if _, e := (&opener{key: key}).keyFor(r.Metadata); e != nil {
			return e
		}
		if err := coming.hold(); err != nil {
			return err
		}
		if _, err := key.openStream(coming); err != nil {
			return err
		}
		for _, p := range coming.Parts {
			b, err := readPart(p)
			if err != nil {
				return err
			}
			read = append(read, b)
		}
		return coming.end()
	}()
	if err != nil {
		// Only in memory is a content looked into.
		if keptErr == nil && !strings.Contains(err.Error(), errSealForm.Error()) || (keptErr == nil) != (comingErr == nil) {
			t.Fatalf("in memory: %v; in a file: %v; on its way: %v", err, keptErr, comingErr)
		}
		if whole != nil && !cmp.Equal(whole.ClaimResponse, *r) {
			t.Fatal("refused, and opened in part")
		}
		return err
	}
	if keptErr != nil || comingErr != nil {
		t.Fatalf("in memory it opens; in a file: %v; on its way: %v", keptErr, comingErr)
	}
	if len(whole.Parts) != len(kept.Parts) || len(whole.Parts) != len(read) {
		t.Fatalf("%d, %d and %d parts", len(whole.Parts), len(kept.Parts), len(read))
	}
	for i := range whole.Parts {
		a, err := readPart(whole.Parts[i])
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
	for _, out := range []*Claimed{kept, coming.Claimed} {
		for i := range whole.Parts {
			a, b := whole.Parts[i], out.Parts[i]
			if a.Name != b.Name || a.ContentType != b.ContentType || a.Size != b.Size || !cmp.Equal(a.Role, b.Role) {
				t.Fatalf("part %d is %+v and %+v", i, a, b)
			}
		}
		if out.Type != whole.Type || out.ContentType != whole.ContentType || !cmp.Equal(out.FileCount, whole.FileCount) || !bytes.Equal(out.Metadata, whole.Metadata) {
			t.Fatalf("in memory it is %+v, else %+v", whole.ClaimResponse, out.ClaimResponse)
		}
	}
	*r = whole.ClaimResponse
	return nil
}

// hold reads the ciphertext of an answer in JSON, from which it is opened.
func (a *arrival) hold() error {
	if len(a.Parts) != 1 {
		return errSealForm
	}
	_, err := a.Parts[0].hold()
	return err
}

func readPart(p Part) ([]byte, error) {
	r, err := p.Open()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// TestOpenClaimRefuses: a ciphertext that opens, but to something that no client like ours
// seals, is refused, and nothing of it is shown.
func TestOpenClaimRefuses(t *testing.T) {
	key := testKey(1)
	m, err := markAny(key, map[string]string{"from": "me"})
	if err != nil {
		t.Fatal(err)
	}
	mark := string(m)
	sealed := func(head, data string) *api.ClaimResponse {
		return answerOf(key, tinkSeal(t, key, []byte(strings.ReplaceAll(head, "META", `"metadata":`+mark)+data)), m)
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
			t.Errorf("%s: refused, and changed", name)
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

// markAny marks metadata as a sender gives it.
func markAny(key *sealKey, metadata any) (jsontext.Value, error) {
	var u upload
	if err := u.setTerms(0, 0, metadata, nil); err != nil {
		return nil, err
	}
	return key.addSeal(u.request.Metadata, false)
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
		m, err := markAny(key, tt.metadata)
		if err != nil || string(m) != tt.want {
			t.Errorf("%v: %s, %v; want %s", tt.metadata, m, err, tt.want)
		}
		var seen Inspected
		seen.Metadata = json.RawMessage(m)
		if _, e := (&opener{key: key}).keyFor(m); e != nil || !seen.Sealed() {
			t.Errorf("%v: the seal does not check: %v", tt.metadata, e)
		}
	}
	for _, metadata := range []any{[]int{1}, "x", map[string]any{"sealed": true}, json.RawMessage(`{"a":1,"a":2}`)} {
		if m, err := markAny(key, metadata); !errors.Is(err, ErrValidation) {
			t.Errorf("%v: %s, %v", metadata, m, err)
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
		_, e := (&opener{key: tt.key}).keyFor([]byte(tt.metadata))
		if (e == nil) != (tt.says == "") || e != nil && !strings.Contains(e.Message, tt.says) {
			t.Errorf("%s with key %v: %v, want %q", tt.metadata, tt.key != nil, e, tt.says)
		}
	}
}
