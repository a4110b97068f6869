package kubbi

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/kubbi/api"
)

var update = flag.Bool("update", false, "make the vectors in testdata/sealed anew")

// sealedVector is a sealed kubbi that anybody can try to open: the answer to its claim, and
// what is inside.
type sealedVector struct {
	ClaimURL string            `json:"claim_url"`
	Key      string            `json:"key"` // hexadecimal
	KID      string            `json:"kid"`
	Answer   api.ClaimResponse `json:"answer"`
	Inside   []insideVector    `json:"inside"` // one, without a name, for a single content
}

type insideVector struct {
	Name        string `json:"name,omitzero"`
	Role        string `json:"role,omitzero"`
	ContentType string `json:"content_type"`
	Base64      string `json:"base64"` // of its bytes
}

// TestSealedVectors opens the published vectors, and with -update makes all but
// tink.json: testdata/sealed/make_tink.py makes that with Tink's library for Python.
func TestSealedVectors(t *testing.T) {
	dir := filepath.Join("testdata", "sealed")
	inside := map[string][]insideVector{
		"text.json":     {{ContentType: "text/plain", Base64: b64("the door code is 4711")}},
		"markdown.json": {{ContentType: "text/markdown", Base64: b64("# Überschrift\n\r\n\u2028\x00\"quoted\" \U0001F511\n")}},
		"empty.json":    {{ContentType: "text/csv"}},
		"json.json":     {{ContentType: "application/json", Base64: b64(`{ "n" : 1.0e2, "list": [null, true, "é"] }`)}},
		"package.json": {
			{"README.md", "instructions", "text/markdown", b64("# Read me\n")},
			{"bytes.bin", "", "application/octet-stream", b64("\x00\xff\xfe\x80binary")},
			{"empty.txt", "data", "text/plain", ""},
		},
	}
	if *update {
		makeVectors(t, dir, inside)
	}
	inside["tink.json"] = []insideVector{
		{"plan.md", "context", "text/markdown", b64("# Made by Tink\n")},
		{"bytes.bin", "", "application/octet-stream", b64(string(bytes.Repeat([]byte("0123456789abcdef"), 4200)))},
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(found) != len(inside) {
		t.Fatalf("%d vectors, want %d: %v", len(found), len(inside), err)
	}
	for name, want := range inside {
		v := readVector(t, filepath.Join(dir, name))
		if diff := cmp.Diff(want, v.Inside); diff != "" {
			t.Errorf("%s holds other things:\n%s", name, diff)
		}
		u, err := ParseClaimURL(v.ClaimURL)
		if err != nil {
			t.Fatal(err)
		}
		key, err := sealKeyOf(u.Fragment())
		if err != nil || hex.EncodeToString(key[:]) != v.Key || key.id() != v.KID {
			t.Errorf("%s: key or kid differ: %v", name, err)
			continue
		}
		if err := openBoth(t, key, &v.Answer); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, insideOf(t, &v.Answer)); diff != "" {
			t.Errorf("%s opens to something else:\n%s", name, diff)
		}
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func readVector(t testing.TB, path string) *sealedVector {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var v sealedVector
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return &v
}

// insideOf is an opened claim as a vector writes it.
func insideOf(t testing.TB, r *api.ClaimResponse) []insideVector {
	t.Helper()
	if r.Type != api.TypePackage {
		text := string(r.Content)
		if r.ContentType != api.TypeJSON {
			text = (&Claimed{ClaimResponse: *r}).Text()
		}
		return []insideVector{{ContentType: r.ContentType, Base64: b64(text)}}
	}
	var out []insideVector
	for _, f := range r.Files {
		v := insideVector{Name: f.Name, ContentType: f.ContentType, Base64: f.Content}
		if f.Role != nil {
			v.Role = *f.Role
		}
		if f.Encoding == "" {
			v.Base64 = b64(f.Content)
		}
		out = append(out, v)
	}
	return out
}

func makeVectors(t *testing.T, dir string, inside map[string][]insideVector) {
	t.Helper()
	for n, name := range slices.Sorted(maps.Keys(inside)) {
		key := testKey(byte(16 * (n + 1)))
		m, err := key.addSeal(nil, false)
		if err != nil {
			t.Fatal(err)
		}
		head, data := sealedHead{Metadata: json.RawMessage(m)}, []byte{}
		for _, in := range inside[name] {
			b, err := base64.StdEncoding.DecodeString(in.Base64)
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, b...)
			if size := int64(len(b)); in.Name == "" {
				head.ContentType, head.ContentBytes = in.ContentType, &size
			} else {
				head.Files = append(head.Files, api.RawFile{Name: in.Name, ContentType: in.ContentType, SizeBytes: size, Role: in.Role})
			}
		}
		line, err := api.AppendRawHead(nil, head)
		if err != nil {
			t.Fatal(err)
		}
		v := sealedVector{
			ClaimURL: key.withKey("https://api.kubbi.ai/r/" + testToken),
			Key:      hex.EncodeToString(key[:]),
			KID:      key.id(),
			Answer:   *answerOf(key, streamed(t, key, append(line, data...)), m),
			Inside:   inside[name],
		}
		v.Answer.CreatedAt = api.NewTime(time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC))
		v.Answer.ExpiresAt = api.NewTime(v.Answer.CreatedAt.Add(time.Hour))
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
