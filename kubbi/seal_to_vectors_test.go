package kubbi

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/kubbi/api"
)

// recipientVector is a kubbi that is sealed for recipients, or the answer to a request. It
// can be opened with the private key.
type recipientVector struct {
	ClaimURL    string            `json:"claim_url"` // with a fragment for an answer
	Private     string            `json:"private"`   // hexadecimal
	Public      string            `json:"public"`
	Fingerprint string            `json:"fingerprint"`
	KeyID       string            `json:"key_id"`
	Request     *requestVector    `json:"request,omitzero"` // nil: not an answer
	Key         string            `json:"key"`              // of the sealed kubbi, hexadecimal
	Answer      api.ClaimResponse `json:"answer"`           // to the claim
	Inside      []insideVector    `json:"inside"`
}

// requestVector is what an answer is bound to.
type requestVector struct {
	RequestURL string      `json:"request_url"`
	Token      string      `json:"token"`
	Message    string      `json:"message"`
	Fields     []api.Field `json:"fields,omitzero"`
	Files      bool        `json:"files,omitzero"`
	Binding    string      `json:"binding"` // hexadecimal
}

func recipientVectors() map[string]recipientVector {
	return map[string]recipientVector{
		"recipients.json": {Inside: []insideVector{{ContentType: "text/plain", Base64: b64("the door code is 4711")}}},
		"fields.json": {
			Request: &requestVector{
				Message: "Für die \"Kasse\": Schlüssel & Name,\n\tbitte \u2028\u007f\x01\U0001F511 </script>",
				Fields:  []api.Field{{Name: "STRIPE_KEY", Secret: true}, {Name: "note", Lines: true}, {Name: "_a"}},
			},
			Inside: []insideVector{{ContentType: "application/json", Base64: b64(`{"STRIPE_KEY":"sk_test_é","_a":"","note":"two\nlines"}`)}},
		},
		"files.json": {
			Request: &requestVector{Message: "The key file.", Files: true},
			Inside: []insideVector{
				{"key.pem", "", "application/x-pem-file", b64("-----BEGIN\x00\xff")},
				{"note.txt", "", "text/plain", b64("mine\n")},
			},
		},
	}
}

// TestRecipientVectors opens the vectors in testdata/recipients, and with -update makes
// them.
func TestRecipientVectors(t *testing.T) {
	dir := filepath.Join("testdata", "recipients")
	want := recipientVectors()
	if *update {
		for n, name := range slices.Sorted(maps.Keys(want)) {
			makeRecipientVector(t, filepath.Join(dir, name), byte(n+1), want[name])
		}
	}
	for name, v := range readRecipientVectors(t) {
		if diff := cmp.Diff(want[name].Inside, v.Inside); diff != "" || want[name].Inside == nil {
			t.Errorf("%s holds other things:\n%s", name, diff)
		}
		identity := newIdentity([32]byte(unhex(t, v.Private)))
		r, err := ParseRecipient(v.Public)
		if err != nil || r != identity.Recipient() || r.Fingerprint() != v.Fingerprint || r.KeyID() != v.KeyID {
			t.Errorf("%s: the keys differ: %v", name, err)
		}
		o := openerOfVector(t, v)
		if v.Request != nil {
			u, err := parseRequestURL(v.Request.RequestURL)
			if err != nil || u.to != r || u.link.token != v.Request.Token || u.String() != v.Request.RequestURL {
				t.Errorf("%s: the request URL is read as another: %v", name, err)
			}
			if o.answer.Secret() != identity.Secret() || hex.EncodeToString(o.binding) != v.Request.Binding {
				t.Errorf("%s: key or binding differ", name)
			}
		}
		key, e := o.keyFor(v.Answer.Metadata)
		if e != nil || hex.EncodeToString(key[:]) != v.Key {
			t.Errorf("%s: another key, %v", name, e)
			continue
		}
		if err := openBoth(t, key, &v.Answer); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(v.Inside, insideOf(t, &v.Answer)); diff != "" {
			t.Errorf("%s opens to something else:\n%s", name, diff)
		}
	}
}

// openerOfVector is what a claim of the vector uses.
func openerOfVector(t testing.TB, v *recipientVector) *opener {
	t.Helper()
	u, err := ParseClaimURL(v.ClaimURL)
	if err != nil {
		t.Fatal(err)
	}
	var c Client
	if v.Request == nil {
		identity := newIdentity([32]byte(unhex(t, v.Private)))
		c.identities = func() []*Identity { return []*Identity{identity} }
	} else {
		binding, err := bindingOf(v.Request.Token, v.Request.Message, v.Request.Fields, v.Request.Files)
		if err != nil || hex.EncodeToString(binding) != v.Request.Binding {
			t.Errorf("the binding is %x: %v", binding, err)
		}
	}
	o, err := c.openerFor(u.Fragment())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func readRecipientVectors(t testing.TB) map[string]*recipientVector {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("testdata", "recipients", "*.json"))
	if err != nil || len(found) != len(recipientVectors()) {
		t.Fatalf("%d vectors, want %d: %v", len(found), len(recipientVectors()), err)
	}
	all := map[string]*recipientVector{}
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		v := new(recipientVector)
		if err := dec.Decode(v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[filepath.Base(path)] = v
	}
	return all
}

// makeRecipientVector writes a vector. Its second recipient, if any, is nobody.
func makeRecipientVector(t *testing.T, path string, n byte, v recipientVector) {
	t.Helper()
	identity := newIdentity([32]byte(bytes.Repeat([]byte{n}, 32)))
	r := identity.Recipient()
	v.Private, v.Public, v.Fingerprint, v.KeyID = hex.EncodeToString(identity.key.Bytes()), r.String(), r.Fingerprint(), r.KeyID()
	v.ClaimURL = "https://api.kubbi.ai/r/" + testToken
	to, binding := []Recipient{newIdentity([32]byte(bytes.Repeat([]byte{0xff}, 32))).Recipient(), r}, []byte(nil)
	if v.Request != nil {
		v.Request.Token = "cXVlc3Rpb24tb2YtdGhlLXZlY3Rvci1ub3Qtc2VjcmV0"
		var err error
		if binding, err = bindingOf(v.Request.Token, v.Request.Message, v.Request.Fields, v.Request.Files); err != nil {
			t.Fatal(err)
		}
		link := ClaimURL{token: v.Request.Token}
		if link.origin, _, err = splitRequestURL("https://relay.example" + api.PathAnswer + link.token); err != nil {
			t.Fatal(err)
		}
		v.Request.RequestURL, v.Request.Binding = requestURL{link, r}.String(), hex.EncodeToString(binding)
		v.ClaimURL += "#" + (&opener{answer: identity, binding: binding}).fragment()
		to = to[1:]
	}
	u := &upload{isPackage: v.Inside[0].Name != ""}
	for i, in := range v.Inside {
		data, err := base64.StdEncoding.DecodeString(in.Base64)
		if err != nil {
			t.Fatal(err)
		}
		if !u.isPackage {
			content, err := SendParams{Content: string(data)}.outgoing()
			if err != nil {
				t.Fatal(err)
			}
			content.ContentType, content.json, u.request.ContentType = in.ContentType, in.ContentType == api.TypeJSON, in.ContentType
			u.contents = append(u.contents, content)
			continue
		}
		file, err := fileInMemory(i+1, File{Name: in.Name, ContentType: in.ContentType, Role: in.Role, Encoding: api.EncodingBase64, Content: in.Base64})
		if err != nil {
			t.Fatal(err)
		}
		u.contents = append(u.contents, file)
	}
	key := testKey(n)
	outside, err := u.seal(key, to, binding)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := outside.contents[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if _, err := data.ReadFrom(sealed); err != nil {
		t.Fatal(err)
	}
	v.Key, v.Answer = hex.EncodeToString(key[:]), *answerOf(key, data.Bytes(), jsontext.Value(outside.request.Metadata))
	v.Answer.CreatedAt = api.NewTime(time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC))
	v.Answer.ExpiresAt = api.NewTime(v.Answer.CreatedAt.Add(time.Hour))
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// FuzzRecipients: only what was sealed for a key opens with it, under its own binding; texts
// of keys and request URLs have one spelling; and nothing that a stranger writes makes their
// readers panic.
func FuzzRecipients(f *testing.F) {
	vectors := readRecipientVectors(f)
	names := slices.Sorted(maps.Keys(vectors))
	openers := map[string]*opener{}
	for i, name := range names {
		v := vectors[name]
		openers[name] = openerOfVector(f, v)
		for _, text := range []string{string(v.Answer.Metadata), v.Public, "kbi_AAAA", v.ClaimURL} {
			f.Add(text, []byte("binding"), i, byte(0))
			f.Add(text, openers[name].binding, i+90*len(names), byte(1))
		}
		if v.Request != nil {
			f.Add(v.Request.RequestURL, openers[name].binding, i, byte(0))
		}
	}
	f.Fuzz(func(t *testing.T, text string, binding []byte, at int, flip byte) {
		if r, err := ParseRecipient(text); err == nil {
			if again, err := ParseRecipient(r.String()); err != nil || again != r || unwrap(text) != r.String() {
				t.Fatalf("%q is read as %s: %v", text, r, err)
			}
		}
		if u, err := parseRequestURL(text); err == nil {
			if again, err := parseRequestURL(u.String()); err != nil || again != u {
				t.Fatalf("%q is read as %s, and then as %s: %v", text, u, again, err)
			}
		}
		at = max(at, 0)
		name := names[at%len(names)]
		v, o := vectors[name], *openers[name]
		changed := bytes.Clone(v.Answer.Metadata)
		changed[at/len(names)%len(changed)] ^= flip
		for _, metadata := range [][]byte{[]byte(text), changed} {
			for _, bound := range [][]byte{o.binding, binding} {
				other := o
				other.binding = bound
				key, e := other.keyFor(metadata)
				if key == nil {
					if _, sealed := sealOf(metadata); e == nil && (sealed || o.answer != nil) {
						t.Fatal("what is sealed has no key, and no error")
					}
					continue
				}
				was, _ := sealOf(v.Answer.Metadata)
				now, _ := sealOf(metadata)
				same := slices.ContainsFunc(now.To, func(s sealedFor) bool { return slices.Contains(was.To, s) })
				if e != nil || hex.EncodeToString(key[:]) != v.Key || !same || now.KID != was.KID || o.answer != nil && !bytes.Equal(bound, o.binding) {
					t.Fatalf("%q opens, and nobody sealed it", metadata)
				}
			}
		}
	})
}
