package kubbi

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
)

// testKey is a key that everybody knows.
func testKey(first byte) *sealKey {
	k := new(sealKey)
	for i := range k {
		k[i] = first + byte(i)
	}
	return k
}

// forge makes a JWE that is encrypted as it should be, whatever its header
// says, with nothing of the code under test.
func forge(t testing.TB, key *sealKey, header, data string) string {
	t.Helper()
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	iv, b64 := []byte("twelve bytes"), base64.RawURLEncoding
	head := b64.EncodeToString([]byte(header))
	out := gcm.Seal(nil, iv, []byte(data), []byte(head))
	n := len(out) - gcm.Overhead()
	return head + ".." + b64.EncodeToString(iv) + "." + b64.EncodeToString(out[:n]) + "." + b64.EncodeToString(out[n:])
}

const goodHeader = `{"alg":"dir","enc":"A256GCM","cty":"text/plain","kubbi":{"v":1,"is":"content"}}`

// Only one form is opened, however well the others are encrypted.
func TestOpenRefusesOtherForms(t *testing.T) {
	key := testKey(1)
	good := forge(t, key, goodHeader, "hello!!")
	if s, err := openBoth(t, key, good); err != nil || string(s.data) != "hello!!" || s.contentType != "text/plain" || s.part.Is != isContent {
		t.Fatalf("the plain form: %+v, %v", s, err)
	}
	if s, err := openBoth(t, key, forge(t, key, " "+strings.ReplaceAll(goodHeader, `,"`, ` , "`), "")); err != nil || len(s.data) != 0 {
		t.Errorf("another order and spacing of the header's JSON, and no data: %+v, %v", s, err)
	}
	header := func(old, new string) string {
		if !strings.Contains(goodHeader, old) {
			t.Fatalf("the header lacks %s", old)
		}
		return forge(t, key, strings.Replace(goodHeader, old, new, 1), "hello!!")
	}
	part := func(i int, change func(string) string) string {
		parts := strings.Split(good, ".")
		parts[i] = change(parts[i])
		return strings.Join(parts, ".")
	}
	to := func(s string) func(string) string { return func(string) string { return s } }
	add := func(s string) func(string) string { return func(old string) string { return old + s } }
	parts := strings.Split(good, ".")
	for name, jwe := range map[string]string{
		"empty":                "",
		"text":                 "hello",
		"four parts":           strings.Join(parts[:4], "."),
		"six parts":            good + ".",
		"JSON serialization":   `{"protected":"` + parts[0] + `","iv":"` + parts[2] + `","ciphertext":"` + parts[3] + `","tag":"` + parts[4] + `"}`,
		"two recipients":       `{"protected":"` + parts[0] + `","recipients":[{},{}],"iv":"` + parts[2] + `","ciphertext":"` + parts[3] + `","tag":"` + parts[4] + `"}`,
		"alg none":             header(`"dir"`, `"none"`),
		"alg absent":           header(`"alg":"dir",`, ``),
		"alg A256KW":           header(`"dir"`, `"A256KW"`),
		"alg PBES2":            header(`"alg":"dir"`, `"alg":"PBES2-HS256+A128KW","p2c":99999999,"p2s":"AAAA"`),
		"enc A128GCM":          header(`A256GCM`, `A128GCM`),
		"enc A256CBC-HS512":    header(`A256GCM`, `A256CBC-HS512`),
		"enc absent":           header(`"enc":"A256GCM",`, ``),
		"zip":                  header(`"cty"`, `"zip":"DEF","cty"`),
		"crit":                 header(`"cty"`, `"crit":["kubbi"],"cty"`),
		"kid":                  header(`"cty"`, `"kid":"x","cty"`),
		"a key in it":          header(`"cty"`, `"jwk":{"kty":"oct","k":"AAAA"},"cty"`),
		"alg twice":            header(`"cty"`, `"alg":"dir","cty"`),
		"Alg":                  header(`"alg"`, `"Alg"`),
		"version 2":            header(`"v":1`, `"v":2`),
		"no version":           header(`"v":1,`, ``),
		"kubbi null":           header(`{"v":1,"is":"content"}`, `null`),
		"kubbi unknown member": header(`"v":1`, `"v":1,"x":1`),
		"header an array":      forge(t, key, `[]`, "hello!!"),
		"header and more":      forge(t, key, goodHeader+`{}`, "hello!!"),
		"header not UTF-8":     header(`text/plain`, "text/\xff"),
		"header too long":      header(`text/plain`, strings.Repeat("x", maxSealHeader)),
		"header empty":         part(0, to("")),
		"header padded":        part(0, add("=")),
		"encrypted key":        part(1, to("AAAA")),
		"iv short":             part(2, to("AAAA")),
		"iv empty":             part(2, to("")),
		"iv of 16 bytes":       part(2, to("AAAAAAAAAAAAAAAAAAAAAA")),
		"ciphertext empty":     part(3, to("")),
		"ciphertext cut":       part(3, func(s string) string { return s[:len(s)-4] }),
		"ciphertext odd":       part(3, func(s string) string { return s[:len(s)-1] }),
		"ciphertext longer":    part(3, add("AAAA")),
		"standard alphabet":    part(3, func(s string) string { return "+/" + s[2:] }),
		"bits after the end":   part(3, func(s string) string { return s[:len(s)-1] + string(s[len(s)-1]+1) }),
		"tag short":            part(4, func(s string) string { return s[:16] }),
		"tag padded":           part(4, add("==")),
		"bits after the tag":   part(4, func(s string) string { return s[:len(s)-1] + string(s[len(s)-1]+1) }),
		"line end":             good[:50] + "\n" + good[50:],
		"carriage return":      part(3, add("\r")),
		"space":                good + " ",
	} {
		if s, err := openBoth(t, key, jwe); !errors.Is(err, errSealForm) && !errors.Is(err, errSealForged) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if _, err := testKey(2).open(good); !errors.Is(err, errSealForged) {
		t.Errorf("another key: %v", err)
	}
}

// claimOf is a claim's answer with a seal of key.
func claimOf(t testing.TB, key *sealKey, r api.ClaimResponse) *api.ClaimResponse {
	t.Helper()
	m, err := key.mark(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	r.Metadata = json.RawMessage(m.Value)
	return &r
}

func quoted(s string) json.RawMessage { return json.RawMessage(`"` + s + `"`) }

func sealedFileOf(t testing.TB, key *sealKey, place, of int, l sealedLabel, contentType, data string) api.ClaimedFile {
	t.Helper()
	jwe, err := key.sealFile(sealed{contentType, sealedPart{File: place, Files: of}, []byte(data)}, l)
	if err != nil {
		t.Fatal(err)
	}
	return api.ClaimedFile{Name: sealedName(place), ContentType: typeJOSE, Content: jwe}
}

// What opens but is not in its place, or not what it is said to be, is refused,
// and so is all that came with it.
func TestOpenClaimRefuses(t *testing.T) {
	key, other := testKey(1), testKey(2)
	file := func(k *sealKey, place, of int, name string) api.ClaimedFile {
		return sealedFileOf(t, k, place, of, sealedLabel{Name: name}, "text/plain", "content of "+name)
	}
	a, b := file(key, 1, 2, "a"), file(key, 2, 2, "b")
	as := func(f api.ClaimedFile, place int) api.ClaimedFile { f.Name = sealedName(place); return f }
	pack := func(files ...api.ClaimedFile) api.ClaimResponse {
		return api.ClaimResponse{Type: api.TypePackage, Files: files}
	}
	single := func(header, data string) api.ClaimResponse {
		return api.ClaimResponse{Content: quoted(forge(t, key, header, data)), ContentType: api.TypeText}
	}
	labelled := func(header, label string) api.ClaimedFile {
		jwe := forge(t, key, header, label)
		return api.ClaimedFile{Name: "file-1", Content: forge(t, key, `{"alg":"dir","enc":"A256GCM","cty":"text/plain","kubbi":{"v":1,"is":"file","file":1,"files":1,"label":"`+jwe+`"}}`, "x")}
	}
	const labelHeader = `{"alg":"dir","enc":"A256GCM","cty":"application/json","kubbi":{"v":1,"is":"label"}}`
	good := func(r api.ClaimResponse) {
		t.Helper()
		if err := openClaim(key, claimOf(t, key, r)); err != nil {
			t.Errorf("refused: %v", err)
		}
	}
	good(pack(a, b))
	good(pack(b, a)) // the order of an answer says nothing
	good(single(goodHeader, "x"))
	good(pack(labelled(labelHeader, `{"name":"a"}`)))

	named := func(l sealedLabel) api.ClaimResponse {
		return pack(sealedFileOf(t, key, 1, 1, l, "text/plain", "x"))
	}
	encoded := a
	encoded.Encoding = api.EncodingBase64
	for name, r := range map[string]api.ClaimResponse{
		"files swapped":                        pack(as(b, 1), as(a, 2)),
		"a file twice":                         pack(a, a),
		"a file twice under both names":        pack(a, as(a, 2)),
		"a file missing":                       pack(a),
		"the other file missing":               pack(b),
		"no files":                             pack(),
		"one too many":                         pack(a, b, file(key, 3, 3, "c")),
		"a file of another kubbi":              pack(a, file(other, 2, 2, "b")),
		"a file under its own name":            pack(as(a, 1), api.ClaimedFile{Name: "b", Content: b.Content}),
		"place 0":                              pack(file(key, 0, 1, "a")),
		"place beyond":                         pack(file(key, 2, 1, "a")),
		"one place, two files":                 pack(a, file(key, 1, 2, "c")),
		"a file as a content":                  {Content: quoted(a.Content), ContentType: api.TypeText},
		"a content as a file":                  pack(api.ClaimedFile{Name: "file-1", Content: forge(t, key, goodHeader, "x")}),
		"a label as a content":                 single(labelHeader, `{"name":"a"}`),
		"a content with a place":               single(strings.Replace(goodHeader, `"v":1`, `"v":1,"file":1,"files":1`, 1), "x"),
		"a content as a label":                 pack(labelled(goodHeader, `{"name":"a"}`)),
		"a label with more":                    pack(labelled(labelHeader, `{"name":"a","x":1}`)),
		"a label that is no object":            pack(labelled(labelHeader, `null`)),
		"a name with a path":                   named(sealedLabel{Name: "../a"}),
		"a name with a separator":              named(sealedLabel{Name: "a/b"}),
		"a hidden name":                        named(sealedLabel{Name: ".a"}),
		"two dots":                             named(sealedLabel{Name: "a..b"}),
		"a name with NUL":                      named(sealedLabel{Name: "a\x00"}),
		"no name":                              named(sealedLabel{}),
		"a long name":                          named(sealedLabel{Name: strings.Repeat("a", 256)}),
		"a role of its own":                    named(sealedLabel{Name: "a", Role: "system"}),
		"an encoding":                          named(sealedLabel{Name: "a", Encoding: "gzip"}),
		"two names that differ in case":        pack(a, file(key, 2, 2, "A")),
		"a type that is none":                  pack(sealedFileOf(t, key, 1, 1, sealedLabel{Name: "a"}, "text", "x")),
		"a type with a line end":               pack(sealedFileOf(t, key, 1, 1, sealedLabel{Name: "a"}, "text/plain\nx", "x")),
		"a file in base64":                     pack(encoded, b),
		"a content of another type":            single(strings.Replace(goodHeader, "text/plain", "image/png", 1), "x"),
		"a text that is not UTF-8":             single(goodHeader, "\xff"),
		"JSON that is none":                    single(strings.Replace(goodHeader, "text/plain", "application/json", 1), `{"a":`),
		"a content that is not a string":       {Content: json.RawMessage(`{"a":1}`), ContentType: api.TypeJSON},
		"a content that is not sealed":         {Content: quoted("hello"), ContentType: api.TypeText},
		"a content that is sealed, flipped":    {Content: quoted(strings.Replace(forge(t, key, goodHeader, "hello"), "..d", "..e", 1)), ContentType: api.TypeText},
		"neither content nor files, a package": {Type: api.TypePackage},
	} {
		answer := claimOf(t, key, r)
		before := slices.Clone(answer.Files)
		err := openClaim(key, answer)
		if e := asError(t, err); !errors.Is(err, ErrSealed) || errors.Is(err, ErrValidation) || !e.Uncertain || e.retryable() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantNone(t, "error", err.Error(), key.fragment()[2:], "content of", "hello")
		if !slices.EqualFunc(before, answer.Files, func(x, y api.ClaimedFile) bool { return x.Content == y.Content }) {
			t.Errorf("%s: refused, and opened in part", name)
		}
	}
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
	const mine = `"sealed":{"v":1,"kid":"` // and the kid
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
		{`{"sealed":{"v":1,"kid":"` + key.id() + `"}}`, key, ""},
		{`{"sealed":{"v":1,"kid":"` + key.id() + `","more":1}}`, key, ""},
		{`{"sealed":{"v":1,"kid":"` + key.id() + `"}}`, nil, "was lost"},
		{`{"sealed":{"v":1,"kid":"` + testKey(8).id() + `"}}`, key, "another key"},
		{`{"sealed":{"v":1}}`, key, "another key"},
		{`{"sealed":{"v":2,"kid":"` + key.id() + `"}}`, key, "does not know"},
		{`{"sealed":{"v":"1"}}`, key, "does not know"},
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

// sealFile is sealLarge by way of go-jose.
func (k *sealKey) sealFile(s sealed, l sealedLabel) (string, error) {
	if err := k.addLabel(&s, l); err != nil {
		return "", err
	}
	return k.seal(s)
}
