package browser

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"kubbi-mcp/kubbi/api"
)

// sealCase is something to seal with the code of the request page.
type sealCase struct {
	Public   string            `json:"public,omitempty"` // for its owner; "": under a key alone
	Question *api.AskRequest   `json:"question,omitempty"`
	Token    string            `json:"token,omitempty"`
	Values   map[string]string `json:"values,omitempty"`
	Files    []sealedPart      `json:"files,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Name     string            `json:"name,omitempty"` // of a file, to make valid
	Taken    []string          `json:"taken,omitempty"`
}

// seal runs the code with which pages seal.
func seal(t *testing.T, cases []sealCase) []sealAnswer {
	t.Helper()
	return runScripts[sealAnswer](t, "seal.mjs", cases, "format", "wire", "hpke", "seal", "recipient", "files")
}

type sealAnswer struct {
	Fingerprint, Error string
	Binding, Key, Body []byte
	Names              []string
}

// sealHead is the head in a sealed payload.
type sealHead struct {
	ContentType  string          `json:"content_type"`
	ContentBytes *int64          `json:"content_bytes"`
	Files        []api.RawFile   `json:"files"`
	Metadata     json.RawMessage `json:"metadata"`
}

// TestPageSeals seals with the code of the request page and opens it with Go's HPKE and
// with Tink: answers to a recipient, and payloads under a key of the claim URL.
func TestPageSeals(t *testing.T) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := private.PublicKey().Bytes()
	recipient := base64.RawURLEncoding.EncodeToString(public)
	fields := []api.Field{{Name: "STRIPE_KEY", Secret: true}, {Name: "NOTE", Lines: true}}
	question := &api.AskRequest{Message: "The key \"for\" staging, é🐎\u2028\r\n<b>", Fields: fields}
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB: more than one part of a Blob
	part := func(name, contentType string, data []byte) sealedPart {
		return sealedPart{Name: name, ContentType: contentType, Base64: base64.StdEncoding.EncodeToString(data)}
	}
	values := map[string]string{"STRIPE_KEY": "sk_live_\"\\", "NOTE": "žluťoučký\n🐎"}
	const head = 65536 - 40 - 16 // bytes in the first segment
	cases := []sealCase{
		{Public: recipient, Question: question, Token: "token", Values: values},
		{Public: recipient, Question: &api.AskRequest{Message: "", Files: true}, Token: "t", Files: []sealedPart{
			part("key.pem", "", []byte("-----BEGIN\n")), part("é.png", "image/png", []byte{0, 255}), part("empty", "text/plain;charset=utf-8", nil), part("large.bin", "not a type", large)}},
		{Values: map[string]string{"": ""}, Metadata: map[string]string{"from": "me"}},
		{Files: []sealedPart{part("a", "a/b", bytes.Repeat([]byte{200}, head))}},
	}
	for extra := range 3 { // the plaintext ends at a segment's end, before it and behind it
		const rest = len(`{"content_type":"application/json","content_bytes":65245,"metadata":{"sealed":{"v":2,"kid":"0123456789abcdef","text":true}}}` + "\n" + `{"a":""}`)
		cases = append(cases, sealCase{Values: map[string]string{"a": strings.Repeat("x", head-rest-1+extra)}})
	}
	for i, got := range seal(t, cases) {
		tc := cases[i]
		if got.Error != "" {
			t.Errorf("case %d: %s", i, got.Error)
			continue
		}
		metadata, plain := openBody(t, got.Body, got.Key)
		line, rest, _ := bytes.Cut(plain, []byte("\n"))
		var in sealHead
		if err := json.Unmarshal(line, &in); err != nil || !bytes.Equal(in.Metadata, metadata.raw) {
			t.Errorf("case %d: head %.300s, metadata outside %s: %v", i, line, metadata.raw, err)
			continue
		}
		if tc.Metadata != nil && metadata.From != tc.Metadata["from"] {
			t.Errorf("case %d: metadata %s", i, metadata.raw)
		}
		if tc.Public != "" {
			sum := sha256.Sum256(append([]byte("kubbi-fingerprint-1:"), public...))
			text := base32.StdEncoding.EncodeToString(sum[:10])
			if want := text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]; got.Fingerprint != want {
				t.Errorf("fingerprint %s, want %s", got.Fingerprint, want)
			}
			if opened := unwrapKey(t, private, got.Binding, metadata); !bytes.Equal(opened, got.Key) {
				t.Errorf("case %d: the recipient gets another key", i)
			}
		}
		if tc.Values != nil {
			var values map[string]string
			if err := json.Unmarshal(rest, &values); err != nil || !cmp.Equal(values, tc.Values) || in.ContentType != api.TypeJSON || in.ContentBytes == nil || *in.ContentBytes != int64(len(rest)) || !metadata.Sealed.Text {
				t.Errorf("case %d: %.200s, %.200s: %v", i, line, rest, err)
			}
			continue
		}
		var want []api.RawFile
		for _, f := range tc.Files {
			b, err := base64.StdEncoding.DecodeString(f.Base64)
			if err != nil || len(rest) < len(b) || !bytes.Equal(rest[:len(b)], b) {
				t.Fatalf("%s has other bytes: %v", f.Name, err)
			}
			rest = rest[len(b):]
			r := api.RawFile{Name: f.Name, ContentType: f.ContentType, SizeBytes: int64(len(b))}
			switch f.Name {
			case "key.pem", "empty", "large.bin":
				r.ContentType = "text/plain"
			default:
				r.Encoding = api.EncodingBase64
			}
			want = append(want, r)
		}
		if diff := cmp.Diff(want, in.Files); diff != "" || len(rest) > 0 || metadata.Sealed.Text {
			t.Errorf("case %d: %d bytes more, %s", i, len(rest), diff)
		}
	}
}

// TestPageBinds checks the text that an answer is bound to, which is RFC 8785's form.
func TestPageBinds(t *testing.T) {
	const want = `{"fields":[{"lines":false,"name":"A","secret":true},{"lines":true,"name":"B","secret":false}],"files":false,"message":"é\n\"<\u0001/🐎","request":"T"}`
	cases := []sealCase{{
		Public: base64.RawURLEncoding.EncodeToString(append([]byte{9}, make([]byte, 31)...)), Token: "T", Values: map[string]string{"A": ""},
		Question: &api.AskRequest{Message: "é\n\"<\x01/🐎", Fields: []api.Field{{Name: "A", Secret: true}, {Name: "B", Lines: true}}},
	}}
	sum := sha256.Sum256([]byte(want))
	if got := seal(t, cases)[0]; got.Error != "" || !bytes.Equal(got.Binding, sum[:]) {
		t.Errorf("binding is %x, want %x: %s", got.Binding, sum, got.Error)
	}
}

// TestPageRefusesKeys checks that nothing is sealed to a key that everybody can compute.
func TestPageRefusesKeys(t *testing.T) {
	var cases []sealCase
	for _, public := range [][]byte{make([]byte, 32), append([]byte{1}, make([]byte, 31)...)} {
		cases = append(cases, sealCase{Public: base64.RawURLEncoding.EncodeToString(public), Question: &api.AskRequest{}, Values: map[string]string{"a": "b"}})
	}
	for i, got := range seal(t, cases) {
		if got.Error == "" || got.Body != nil {
			t.Errorf("key %d was used", i)
		}
	}
}

// TestPageMendsNames checks that a page sends each file under the name that the client would
// suggest.
func TestPageMendsNames(t *testing.T) {
	table := readNames(t)
	var cases []sealCase
	var want []string
	for _, name := range table.Good {
		cases, want = append(cases, sealCase{Name: name}), append(want, name)
	}
	for _, bad := range table.Bad {
		if bad.Name != "" {
			cases, want = append(cases, sealCase{Name: bad.Name}), append(want, bad.Instead)
		}
	}
	seen := strings.NewReplacer("\u200d", "", "\ufe0f", "", "\ufe0e", "").Replace // a page drops all of several joiners
	for i, got := range seal(t, cases) {
		if got.Error != "" || seen(got.Names[0]) != seen(want[i]) || got.Names[1] != got.Names[0] {
			t.Errorf("%q: %q, want %q: %s", cases[i].Name, got.Names, want[i], got.Error)
		}
	}
	taken := seal(t, []sealCase{{Name: "a.txt", Taken: []string{"A.TXT", "a-2.txt"}}, {Name: "é", Taken: []string{"e\u0301"}}, {Name: strings.Repeat("é", 125) + ".text", Taken: []string{strings.Repeat("é", 125) + ".text"}}})
	if taken[0].Names[1] != "a-3.txt" || taken[1].Names[1] != "é-2" || taken[2].Error != "" || taken[2].Names[1] == taken[2].Names[0] {
		t.Errorf("names that are taken: %q", taken)
	}
}

// sealMetadata is the metadata of a sealed kubbi.
type sealMetadata struct {
	From   string `json:"from"`
	Sealed struct {
		V    int
		KID  string
		Text bool
		To   []struct{ KID, Key string }
	} `json:"sealed"`
	raw []byte
}

// openBody opens the raw body of a create of a sealed kubbi, with Tink.
func openBody(t *testing.T, body, key []byte) (metadata sealMetadata, plain []byte) {
	t.Helper()
	line, sealed, _ := bytes.Cut(body, []byte("\n"))
	var create api.RawCreate
	if err := json.Unmarshal(line, &create); err != nil {
		t.Fatal(err)
	}
	want := []api.RawFile{{Name: api.SealedName, ContentType: api.TypeSealed, SizeBytes: int64(len(sealed)), Encoding: api.EncodingBase64}}
	if diff := cmp.Diff(want, create.Files); diff != "" || create.TTLSeconds != 60 {
		t.Fatalf("head %s: %s", line, diff)
	}
	metadata.raw = create.Metadata
	if err := json.Unmarshal(create.Metadata, &metadata); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append([]byte("kubbi-sealed-2-kid:"), key...))
	if kid := base64.RawURLEncoding.EncodeToString(sum[:])[:16]; metadata.Sealed.V != 2 || metadata.Sealed.KID != kid {
		t.Fatalf("seal %s", create.Metadata)
	}
	a, err := subtle.NewAESGCMHKDF(key, "SHA256", 32, 64<<10, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.NewDecryptingReader(bytes.NewReader(sealed), []byte("kubbi-sealed-2:"+metadata.Sealed.KID))
	if err == nil {
		plain, err = io.ReadAll(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return metadata, plain
}

// unwrapKey opens the key that is encrypted for a recipient, with Go's HPKE.
func unwrapKey(t *testing.T, private *ecdh.PrivateKey, binding []byte, metadata sealMetadata) []byte {
	t.Helper()
	sum := sha256.Sum256(append([]byte("kubbi-recipient-1:"), private.PublicKey().Bytes()...))
	to := metadata.Sealed.To
	if len(to) != 1 || to[0].KID != base64.RawURLEncoding.EncodeToString(sum[:])[:16] {
		t.Fatalf("seal %s", metadata.raw)
	}
	wrapped, err := base64.RawURLEncoding.DecodeString(to[0].Key)
	if err != nil || len(wrapped) != 32+32+16 {
		t.Fatalf("%d bytes are wrapped: %v", len(wrapped), err)
	}
	owner, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	context, err := hpke.NewRecipient(wrapped[:32], owner, hpke.HKDFSHA256(), hpke.AES256GCM(), append([]byte("kubbi-to-1:"), binding...))
	if err != nil {
		t.Fatal(err)
	}
	key, err := context.Open([]byte(metadata.Sealed.KID), wrapped[32:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}
