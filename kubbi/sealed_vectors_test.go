package kubbi

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/kubbi/api"
)

var update = flag.Bool("update", false, "make the vectors in testdata/sealed anew")

// sealedVector is a sealed kubbi that anybody can try to open: what a claim of
// it answers, and what is inside.
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

// TestSealedVectors opens the published vectors, and with -update makes them.
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
		if err := openClaim(key, &v.Answer); err != nil {
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
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for n, name := range slices.Sorted(maps.Keys(inside)) {
		key := testKey(byte(16 * (n + 1)))
		v := sealedVector{
			ClaimURL: key.withKey("https://api.kubbi.ai/r/" + testToken),
			Key:      hex.EncodeToString(key[:]),
			KID:      key.id(),
			Answer:   *claimOf(t, key, api.ClaimResponse{ContentType: api.TypeText}),
			Inside:   inside[name],
		}
		v.Answer.CreatedAt = api.NewTime(time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC))
		v.Answer.ExpiresAt = api.NewTime(v.Answer.CreatedAt.Add(time.Hour))
		for i, in := range v.Inside {
			data, err := base64.StdEncoding.DecodeString(in.Base64)
			if err != nil {
				t.Fatal(err)
			}
			if in.Name == "" {
				jwe, err := key.seal(sealed{in.ContentType, sealedPart{Is: isContent}, data})
				if err != nil {
					t.Fatal(err)
				}
				v.Answer.Content = quoted(jwe)
				continue
			}
			f := sealedFileOf(t, key, i+1, len(v.Inside), sealedLabel{Name: in.Name, Role: in.Role}, in.ContentType, string(data))
			f.SizeBytes = int64(len(f.Content))
			v.Answer.Type, v.Answer.ContentType = api.TypePackage, ""
			v.Answer.Files = append(v.Answer.Files, f)
		}
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzOpenSealed: only what was sealed with the key opens with it, in its one
// spelling, and opens to the same; no input makes the opener panic, as a content
// or as a file.
func FuzzOpenSealed(f *testing.F) {
	key := testKey(1)
	made := map[string]string{}
	for _, data := range []string{"", "a", "to", "thr", "a longer text"} {
		// The same in every process of the fuzzer.
		made[forge(f, key, goodHeader, data)] = data
		label := forge(f, key, `{"alg":"dir","enc":"A256GCM","cty":"application/json","kubbi":{"v":1,"is":"label"}}`, `{"name":"a"}`)
		made[label] = `{"name":"a"}`
		made[forge(f, key, `{"alg":"dir","enc":"A256GCM","cty":"text/plain","kubbi":{"v":1,"is":"file","file":1,"files":1,"label":"`+label+`"}}`, data)] = data
	}
	for jwe := range made {
		f.Add(jwe, 0, byte(0))
		f.Add(jwe, 5, byte(1))
		f.Add(jwe, len(jwe)-1, byte(1))
		f.Add(jwe, len(jwe)-25, byte(0x20))
	}
	f.Add(forge(f, testKey(2), goodHeader, "hello"), 1, byte(0))
	f.Add(`{"protected":"e30","recipients":[{},{}],"iv":"","ciphertext":"","tag":""}`, 0, byte(0))
	f.Add("eyJhbGciOiJub25lIn0.....", 0, byte(0))
	f.Fuzz(func(t *testing.T, jwe string, at int, flip byte) {
		// What the fuzzer makes of text rarely is a JWE: it may change one of ours
		// in a place.
		for i, ours := range slices.Sorted(maps.Keys(made)) {
			if at >= 0 && i == at%len(made) {
				b := []byte(ours)
				b[at%len(b)] ^= flip
				checkOpens(t, key, made, string(b))
			}
		}
		checkOpens(t, key, made, jwe)
		r := api.ClaimResponse{Content: json.RawMessage("null"), Files: []api.ClaimedFile{{Name: "file-1", Content: jwe}}}
		r.Content, _ = json.Marshal(jwe)
		if err := openSingle(key, &r); err == nil {
			if _, ours := made[jwe]; !ours {
				t.Fatalf("a content opens that nobody made: %q", jwe)
			}
		}
		r.Type = api.TypePackage
		if err := openFiles(key, &r); err == nil {
			if _, ours := made[jwe]; !ours {
				t.Fatalf("a file opens that nobody made: %q", jwe)
			}
		}
	})
}

func checkOpens(t *testing.T, key *sealKey, made map[string]string, jwe string) {
	t.Helper()
	s, err := openBoth(t, key, jwe)
	want, ours := made[jwe]
	switch {
	case ours && (err != nil || string(s.data) != want):
		t.Fatalf("%q does not open to %q: %v", jwe, want, err)
	case !ours && err == nil:
		t.Fatalf("%q opens, and nobody made it", jwe)
	case err != nil && !errors.Is(err, errSealForm) && !errors.Is(err, errSealForged):
		t.Fatalf("error is %v", err)
	}
}

// openBoth opens with go-jose and as a stream, which must agree.
func openBoth(t testing.TB, key *sealKey, jwe string) (*sealed, error) {
	t.Helper()
	s, err := key.open(jwe)
	large, largeErr := key.openLarge(strings.NewReader(jwe), int64(len(jwe)))
	if (err == nil) != (largeErr == nil) || err == nil && (!bytes.Equal(s.data, large.data) || s.part != large.part || s.contentType != large.contentType) {
		t.Fatalf("%q opens in two ways: %+v, %v and %+v, %v", jwe, s, err, large, largeErr)
	}
	return s, err
}
