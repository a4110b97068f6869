package cli_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// pageCase is what the claim page's code is to open, or JSON it is to read.
type pageCase struct {
	Key    string `json:"key,omitempty"`
	KID    string `json:"kid,omitempty"`
	Answer any    `json:"answer,omitempty"`
	JSON   string `json:"json,omitempty"`
	Name   string `json:"name,omitempty"`
}

type pageAnswer struct {
	Inside   []sealedPart `json:"inside"`
	Error    string       `json:"error"`
	Text     string       `json:"text"`
	Indented *string      `json:"indented"`
	Name     bool         `json:"name"`
}

// runPage gives cases to the claim page's code, in Node.js.
func runPage(t *testing.T, cases []pageCase) []pageAnswer {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		testkit.Needs(t, "KUBBI_NODE", "Node.js, which is not on the path,")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := []string{filepath.Join("testdata", "outside", "page", "sealed.mjs"), t.TempDir()}
	for _, name := range []string{"words", "json", "show", "zip", "sealed"} {
		args = append(args, filepath.Join("..", "relay", "page", "script", name+".js"))
	}
	cmd := exec.CommandContext(ctx, node, args...)
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var answers []pageAnswer
	if err == nil {
		err = json.Unmarshal(out, &answers)
	}
	if err != nil || len(answers) != len(cases) {
		t.Fatalf("sealed.mjs: %v, %d answers\n%s", err, len(answers), stderr.String())
	}
	return answers
}

// TestPageOpensVectors: the claim page opens what docs/sealed.md publishes.
func TestPageOpensVectors(t *testing.T) {
	found, err := filepath.Glob(filepath.Join("..", "kubbi", "testdata", "sealed", "*.json"))
	if err != nil || len(found) != 5 {
		t.Fatalf("%d vectors: %v", len(found), err)
	}
	var cases []pageCase
	var want [][]sealedPart
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			ClaimURL string          `json:"claim_url"`
			KID      string          `json:"kid"`
			Answer   json.RawMessage `json:"answer"`
			Inside   []sealedPart    `json:"inside"`
		}
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		_, key, _ := strings.Cut(v.ClaimURL, "#k=")
		cases, want = append(cases, pageCase{Key: key, KID: v.KID, Answer: v.Answer}), append(want, v.Inside)
	}
	for i, got := range runPage(t, cases) {
		if diff := cmp.Diff(want[i], got.Inside); diff != "" || got.Error != "" {
			t.Errorf("%s: %s\n%s", found[i], got.Error, diff)
		}
	}
}

// TestPageKnowsNames: the claim page has the rule for names that the client has.
func TestPageKnowsNames(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "kubbi", "api", "testdata", "names.json"))
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Good []string
		Bad  []struct{ Name, Instead string }
	}
	if err := json.Unmarshal(b, &table); err != nil {
		t.Fatal(err)
	}
	var cases []pageCase
	for _, name := range table.Good {
		cases = append(cases, pageCase{Name: name})
	}
	for _, bad := range table.Bad {
		if !api.HostedFileName(bad.Name) { // another client may have sent that
			cases = append(cases, pageCase{Name: bad.Name})
		}
	}
	for i, got := range runPage(t, cases) {
		if got.Name != (i < len(table.Good)) {
			t.Errorf("isFileName(%q) = %v", cases[i].Name, got.Name)
		}
	}
}

// TestPageRefusesOtherForms: the claim page opens no form of a JWE but ours,
// however well it is encrypted, as the Go client does not.
func TestPageRefusesOtherForms(t *testing.T) {
	const header = `{"alg":"dir","enc":"A256GCM","cty":"text/plain","kubbi":{"v":1,"is":"content"}}`
	const labelHeader = `{"alg":"dir","enc":"A256GCM","cty":"application/json","kubbi":{"v":1,"is":"label"}}`
	good := forgeJWE(t, header, "hello!!")
	parts := strings.Split(good, ".")
	with := func(old, new string) string { return forgeJWE(t, strings.Replace(header, old, new, 1), "hello!!") }
	joined := func(i int, s string) string {
		p := append([]string(nil), parts...)
		p[i] = s
		return strings.Join(p, ".")
	}
	content := map[string]string{
		"empty": "", "text": "hello", "four parts": strings.Join(parts[:4], "."), "six parts": good + ".",
		"alg none": with(`"dir"`, `"none"`), "alg absent": with(`"alg":"dir",`, ``), "enc": with(`A256GCM`, `A128GCM`),
		"zip": with(`"cty"`, `"zip":"DEF","cty"`), "crit": with(`"cty"`, `"crit":["kubbi"],"cty"`), "alg twice": with(`"cty"`, `"alg":"dir","cty"`),
		"Alg": with(`"alg"`, `"Alg"`), "version 2": with(`"v":1`, `"v":2`), "version as text": with(`"v":1`, `"v":"1"`), "no version": with(`"v":1,`, ``),
		"kubbi null": with(`{"v":1,"is":"content"}`, `null`), "kubbi more": with(`"v":1`, `"v":1,"x":1`), "a file": with(`"content"`, `"file"`),
		"a label": with(`"content"`, `"label"`), "another type": with(`text/plain`, `text/html`), "a prototype": with(`"cty"`, `"__proto__":{},"cty"`),
		"header an array": forgeJWE(t, `[]`, "x"), "header and more": forgeJWE(t, header+`{}`, "x"), "header not UTF-8": with(`text/plain`, "text/\xff"),
		"header too long": with(`text/plain`, strings.Repeat("x", 4<<10)), "header empty": joined(0, ""), "header padded": joined(0, parts[0]+"="),
		"encrypted key": joined(1, "AAAA"), "iv short": joined(2, "AAAA"), "ciphertext cut": joined(3, parts[3][:len(parts[3])-4]),
		"bits after the end": joined(3, parts[3][:len(parts[3])-1]+string(parts[3][len(parts[3])-1]+1)), "ciphertext of 1": joined(3, "A"),
		"standard alphabet": joined(3, "+/"+parts[3][2:]), "tag short": joined(4, parts[4][:16]), "another tag": joined(4, strings.Repeat("A", 22)),
		"line end": good[:50] + "\n" + good[50:], "space": good + " ", "not UTF-8": forgeJWE(t, header, "\xff"),
		"not JSON": forgeJWE(t, strings.Replace(header, "text/plain", "application/json", 1), "{"),
	}
	label := func(inner string) string { return forgeJWE(t, labelHeader, inner) }
	file := func(place, files, label, cty string) string {
		return forgeJWE(t, `{"alg":"dir","enc":"A256GCM","cty":"`+cty+`","kubbi":{"v":1,"is":"file","file":`+place+`,"files":`+files+`,"label":"`+label+`"}}`, "x")
	}
	type f struct {
		Name     string `json:"name"`
		Content  string `json:"content"`
		Encoding string `json:"encoding,omitempty"`
	}
	a, b := label(`{"name":"a.txt"}`), label(`{"name":"b.txt","role":"data","encoding":"base64"}`)
	one := func(label string) []f { return []f{{Name: "file-1", Content: file("1", "1", label, "text/plain")}} }
	files := map[string][]f{
		"none": {}, "swapped": {{"file-1", file("2", "2", b, "text/plain"), ""}, {"file-2", file("1", "2", a, "text/plain"), ""}},
		"one is missing": {{"file-1", file("1", "2", a, "text/plain"), ""}}, "twice": {{"file-1", file("1", "2", a, "text/plain"), ""}, {"file-1", file("1", "2", a, "text/plain"), ""}},
		"place 0": {{"file-0", file("0", "1", a, "text/plain"), ""}}, "a content": {{"file-1", good, ""}}, "an encoding": {{"file-1", file("1", "1", a, "text/plain"), "base64"}},
		"another name": {{"a.txt", file("1", "1", a, "text/plain"), ""}}, "no type": {{"file-1", file("1", "1", a, "text"), ""}},
		"same names":  {{"file-1", file("1", "2", a, "text/plain"), ""}, {"file-2", file("2", "2", label(`{"name":"A.TXT"}`), "text/plain"), ""}},
		"label: path": one(label(`{"name":"../a"}`)), "label: dots": one(label(`{"name":"a..b"}`)), "label: control": one(label(`{"name":"a\u202eb"}`)), "label: none": one(label(`{}`)),
		"label: number": one(label(`{"name":1}`)), "label: more": one(label(`{"name":"a","x":1}`)), "label: role": one(label(`{"name":"a","role":"boss"}`)),
		"label: encoding": one(label(`{"name":"a","encoding":"gzip"}`)), "label: name twice": one(label(`{"name":"a","name":"b"}`)), "label: a content": one(good), "label: long": one(label(`{"name":"` + strings.Repeat("a", 256) + `"}`)),
	}
	key := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	sum := sha256.Sum256(append([]byte("kubbi-sealed-v1-kid:"), make([]byte, 32)...))
	kid := base64.RawURLEncoding.EncodeToString(sum[:])[:16]
	names := []string{"good", "good package"}
	cases := []pageCase{
		{Key: key, KID: kid, Answer: map[string]any{"content": good}},
		{Key: key, KID: kid, Answer: map[string]any{"files": []f{{"file-2", file("2", "2", b, "a/b"), ""}, {"file-1", file("1", "2", a, "text/plain"), ""}}}},
	}
	for name, jwe := range content {
		names, cases = append(names, name), append(cases, pageCase{Key: key, KID: kid, Answer: map[string]any{"content": jwe}})
	}
	for name, fs := range files {
		names, cases = append(names, name), append(cases, pageCase{Key: key, KID: kid, Answer: map[string]any{"files": fs}})
	}
	answers := runPage(t, cases)
	if diff := cmp.Diff([]sealedPart{{ContentType: "text/plain", Base64: "aGVsbG8hIQ=="}}, answers[0].Inside); diff != "" {
		t.Errorf("the good one: %s %s", answers[0].Error, diff)
	}
	if diff := cmp.Diff([]sealedPart{{"a.txt", "", "text/plain", "eA=="}, {"b.txt", "data", "a/b", "eA=="}}, answers[1].Inside); diff != "" {
		t.Errorf("the good package: %s %s", answers[1].Error, diff)
	}
	for i, got := range answers[2:] {
		if !strings.HasPrefix(got.Error, "Refusal: it") {
			t.Errorf("%s: %v, %q", names[i+2], got.Inside, got.Error)
		}
	}
}

// forgeJWE encrypts under a key of zeros, whatever the header says.
func forgeJWE(t *testing.T, header, data string) string {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
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

// TestPageReadsJSON: the claim page keeps JSON as it was written.
func TestPageReadsJSON(t *testing.T) {
	texts := []string{`null`, `-1.50e+10`, `"a\"b\\"`, `[]`, `{}`, `[1,[2,{"a":{}}],"]"]`, `{"a":1.0,"b":[true,null],"":"}{\\\"","c":{"d":"é🐎"}}`, `12345678901234567890`, `{"a":1,"a":2}`, `[ 1 , { "x" : [ ] } ]`}
	var cases []pageCase
	for _, text := range texts {
		cases = append(cases, pageCase{JSON: text})
	}
	for i, got := range runPage(t, cases) {
		want := jsontext.Value(texts[i])
		if err := want.Indent(jsontext.AllowDuplicateNames(true), jsontext.WithIndent("  ")); err != nil {
			t.Fatal(err)
		}
		if got.Text != texts[i] || got.Indented == nil || *got.Indented != string(want) {
			t.Errorf("%s: %q, %v", texts[i], got.Text, got.Indented)
		}
	}
}
