package browser

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/internal/testkit"
)

// pageCase is an input for the claim page's code: a sealed answer to open, or JSON to
// read.
type pageCase struct {
	Key    string `json:"key,omitempty"`
	KID    string `json:"kid,omitempty"`
	Answer any    `json:"answer,omitempty"`
	JSON   string `json:"json,omitempty"`
	Name   string `json:"name,omitempty"`
}

// sealedPart is one file in a sealed kubbi, in the form of the test vectors.
type sealedPart struct {
	Name        string `json:"name,omitempty"`
	Role        string `json:"role,omitempty"`
	ContentType string `json:"content_type"`
	Base64      string `json:"base64"`
}

type pageAnswer struct {
	Inside   []sealedPart `json:"inside"`
	Error    string       `json:"error"`
	Text     string       `json:"text"`
	Indented *string      `json:"indented"`
	Name     bool         `json:"name"`
}

// runPage runs the claim page's code on the cases, in Node.js.
func runPage(t *testing.T, cases []pageCase) []pageAnswer {
	t.Helper()
	return runScripts[pageAnswer](t, "sealed.mjs", cases, "format", "wire", "json", "copy", "show", "zip", "sealed")
}

// runScripts runs scripts of the relay's pages in Node.js: program gets the cases, and gives
// an answer for each.
func runScripts[A, C any](t *testing.T, program string, cases []C, scripts ...string) []A {
	t.Helper()
	node := testkit.NeedsNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	args := []string{filepath.Join("testdata", "page", program), t.TempDir()}
	for _, name := range scripts {
		args = append(args, filepath.Join("..", "..", "relay", "page", "script", name+".js"))
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
	var answers []A
	if err == nil {
		err = json.Unmarshal(out, &answers)
	}
	if err != nil || len(answers) != len(cases) {
		t.Fatalf("%s: %v, %d answers\n%s", program, err, len(answers), stderr.String())
	}
	return answers
}

// TestPageOpensVectors opens the test vectors of docs/wire.md.
func TestPageOpensVectors(t *testing.T) {
	found, err := filepath.Glob(filepath.Join("..", "..", "kubbi", "testdata", "sealed", "*.json"))
	if err != nil || len(found) != 6 {
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

// nameTable has names of files, and what is suggested instead of a bad one.
type nameTable struct {
	Good []string
	Bad  []struct{ Name, Instead string }
}

// readNames reads the table that internal/filename is tested with.
func readNames(t *testing.T) (table nameTable) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "internal", "filename", "testdata", "names.json"))
	if err == nil {
		err = json.Unmarshal(b, &table)
	}
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestPageKnowsNames checks that the claim page has the same rule for names as the
// client.
func TestPageKnowsNames(t *testing.T) {
	table := readNames(t)
	var cases []pageCase
	for _, name := range table.Good {
		cases = append(cases, pageCase{Name: name})
	}
	for _, bad := range table.Bad {
		if !filename.IsASCII(bad.Name) { // another client may have sent that
			cases = append(cases, pageCase{Name: bad.Name})
		}
	}
	for i, got := range runPage(t, cases) {
		if got.Name != (i < len(table.Good)) {
			t.Errorf("isFileName(%q) = %v", cases[i].Name, got.Name)
		}
	}
}

// TestPageRefusesOtherForms checks that the claim page opens nothing that the Go client
// refuses, even if its encryption is valid.
func TestPageRefusesOtherForms(t *testing.T) {
	key := make([]byte, 32)
	sum := sha256.Sum256(append([]byte("kubbi-sealed-2-kid:"), key...))
	kid := base64.RawURLEncoding.EncodeToString(sum[:])[:16]
	seal := func(segment int, aad, plain string) []byte { // with Tink
		a, err := subtle.NewAESGCMHKDF(key, "SHA256", 32, segment, 0)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w, err := a.NewEncryptingWriter(&out, []byte(aad))
		if err == nil {
			_, err = io.WriteString(w, plain)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	const metadata, segment = `{"from":"me"}`, 64 << 10
	aad := "kubbi-sealed-2:" + kid
	answer := func(sealed []byte) map[string]any {
		return map[string]any{"metadata": json.RawMessage(metadata), "files": []map[string]any{
			{"name": "sealed", "content": base64.StdEncoding.EncodeToString(sealed), "encoding": "base64"}}}
	}
	inside := func(head, data string) map[string]any {
		return answer(seal(segment, aad, strings.ReplaceAll(head, "META", `"metadata":`+metadata)+"\n"+data))
	}
	single := func(contentType, data string) map[string]any {
		return inside(`{"content_type":"`+contentType+`","content_bytes":`+strconv.Itoa(len(data))+`,META}`, data)
	}
	file := func(members string) map[string]any {
		return inside(`{"files":[{`+members+`,"size_bytes":5}],META}`, "hello")
	}
	const a = `"name":"a.txt","content_type":"text/plain"`
	large := strings.Repeat("0123456789", 20_000)
	good := []map[string]any{
		single("text/plain", "hello!!"),
		inside(`{"files":[{`+a+`,"size_bytes":1},{"name":"b.txt","role":"data","encoding":"base64","content_type":"a/b","size_bytes":1}],"more":1,META}`, "xx"),
		single("text/csv", ""), single("text/plain", large),
	}
	want := [][]sealedPart{{{ContentType: "text/plain", Base64: "aGVsbG8hIQ=="}}, {{"a.txt", "", "text/plain", "eA=="}, {"b.txt", "data", "a/b", "eA=="}},
		{{ContentType: "text/csv"}}, {{ContentType: "text/plain", Base64: base64.StdEncoding.EncodeToString([]byte(large))}}}
	whole := seal(segment, aad, `{"content_type":"text/plain","content_bytes":200000,"metadata":`+metadata+"}\n"+large)
	flipped := func(at int) map[string]any {
		b := bytes.Clone(whole)
		b[at] ^= 1
		return answer(b)
	}
	with := func(name string, value any) map[string]any {
		r := single("text/plain", "hello")
		r["files"].([]map[string]any)[0][name] = value
		return r
	}
	piece := func(n int) []byte { return whole[n*segment : min(len(whole), (n+1)*segment)] }
	other := func(name string, value any) map[string]any {
		r := single("text/plain", "hello")
		r[name] = value
		return r
	}
	bad := map[string]map[string]any{
		"nothing": answer(nil), "a header": answer(whole[:40]), "header: length": flipped(0), "header: salt": flipped(1), "header: prefix": flipped(39),
		"first segment": flipped(40), "a tag": flipped(segment - 1), "second segment": flipped(segment), "last byte": flipped(len(whole) - 1),
		"cut at a segment": answer(whole[:2*segment]), "cut": answer(whole[:len(whole)-1]), "more": answer(append(bytes.Clone(whole), 0)),
		"segments swapped": answer(slices.Concat(piece(0), piece(2), piece(1), piece(3))), "a segment dropped": answer(slices.Concat(piece(0), piece(2), piece(3))),
		"other segments": answer(seal(4<<10, aad, large)), "no label": answer(seal(segment, "", "{}\n")), "another label": answer(seal(segment, "kubbi-sealed-3:"+kid, "{}\n")),
		"no head": answer(seal(segment, aad, "")), "no line": answer(seal(segment, aad, "{}")), "no JSON": inside("hello", ""), "an array": inside("[]", ""), "null": inside("null", ""),
		"a long head": inside(`{"content_type":"text/plain","content_bytes":0,META,"x":"`+strings.Repeat("x", 1<<20)+`"}`, ""), "not UTF-8": inside("{\"x\":\"\xff\",META}", ""),
		"no content": inside(`{META}`, ""), "fewer bytes": inside(`{"content_type":"text/plain","content_bytes":6,META}`, "hello"), "more bytes": inside(`{"content_type":"text/plain","content_bytes":4,META}`, "hello"),
		"a negative size": inside(`{"content_type":"text/plain","content_bytes":-1,META}`, ""), "a fraction": inside(`{"content_type":"text/plain","content_bytes":0.5,META}`, ""),
		"a size as text": inside(`{"content_type":"text/plain","content_bytes":"5",META}`, "hello"), "another type": single("text/html", "hello"), "no type": inside(`{"content_bytes":5,META}`, "hello"),
		"text not UTF-8": single("text/plain", "\xff"), "not JSON": single("application/json", "{"), "no files": inside(`{"files":[],META}`, ""), "a file of null": inside(`{"files":[null],META}`, ""),
		"path": file(`"name":"../a","content_type":"a/b"`), "dots": file(`"name":"a..b","content_type":"a/b"`), "control": file(`"name":"a\u202eb","content_type":"a/b"`), "no name": file(`"content_type":"a/b"`),
		"number": file(`"name":1,"content_type":"a/b"`), "role": file(a + `,"role":"boss"`), "encoding": file(a + `,"encoding":"gzip"`), "no slash": file(`"name":"a","content_type":"text"`),
		"long": file(`"name":"` + strings.Repeat("a", 256) + `","content_type":"a/b"`), "same names": inside(`{"files":[{`+a+`,"size_bytes":0},{"name":"A.TXT","content_type":"a/b","size_bytes":0}],META}`, ""),
		"no metadata": inside(`{"content_type":"text/plain","content_bytes":0}`, ""), "other metadata": inside(`{"content_type":"text/plain","content_bytes":0,"metadata":{"from":"us"}}`, ""),
		"more metadata": other("metadata", map[string]any{"from": "me", "x": 1}), "a text": with("encoding", nil), "no base64": with("content", "%%%%"), "no string": with("content", 1),
		"two files": other("files", []map[string]any{{"content": "", "encoding": "base64"}, {"content": "", "encoding": "base64"}}), "no file": other("files", []any{}), "a content": {"content": "hello", "metadata": map[string]any{"from": "me"}},
	}
	var names []string
	var cases []pageCase
	add := func(name string, answer map[string]any) {
		names, cases = append(names, name), append(cases, pageCase{Key: base64.RawURLEncoding.EncodeToString(key), KID: kid, Answer: answer})
	}
	for i, r := range good {
		add(fmt.Sprintf("good %d", i), r)
	}
	for name, r := range bad {
		add(name, r)
	}
	for i, got := range runPage(t, cases) {
		switch {
		case i < len(good):
			if diff := cmp.Diff(want[i], got.Inside); diff != "" {
				t.Errorf("%s: %s %.500s", names[i], got.Error, diff)
			}
		case !strings.HasPrefix(got.Error, "Refusal: it"):
			t.Errorf("%s: %v, %q", names[i], got.Inside, got.Error)
		}
	}
}

// TestPageReadsJSON checks that the claim page keeps JSON as it was written.
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
