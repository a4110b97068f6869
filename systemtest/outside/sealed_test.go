package outside

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

// sealedClaim is a sealed kubbi and its content.
type sealedClaim struct {
	ClaimURL string       `json:"claim_url"`
	Inside   []sealedPart `json:"inside"`
}

type sealedPart struct {
	Name        string `json:"name,omitempty"`
	Role        string `json:"role,omitempty"`
	ContentType string `json:"content_type"`
	Base64      string `json:"base64"`
}

// TestSealedPython has the Python code of docs/wire.md open what Go has sealed, and
// Go what Python has sealed, through a relay.
func TestSealedPython(t *testing.T) {
	python := testkit.Needs(t, "KUBBI_PYTHON", "a Python with kubbi 0.1.0 and cryptography")
	sealedElsewhere(t, python, "python", "check.py")
}

// TestSealedNode does the same with the JavaScript code.
func TestSealedNode(t *testing.T) {
	node := testkit.NeedsNode(t)
	sealedElsewhere(t, node, "javascript", "check.mjs")
}

func sealedElsewhere(t *testing.T, program, language, check string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	relay := relaytest.New(t)
	client, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	out := runCheck(ctx, t, relay, program, language, check, "sealed", sealHere(ctx, t, client))
	var theirs []sealedClaim
	if err := json.Unmarshal(out, &theirs); err != nil || len(theirs) != 4 {
		t.Fatalf("%s gives %d claims, want 4: %v", check, len(theirs), err)
	}
	for _, c := range theirs {
		got, err := client.Claim(ctx, c.ClaimURL)
		if err != nil {
			t.Errorf("claim what %s sealed: %v", program, err)
			continue
		}
		if diff := cmp.Diff(c.Inside, partsOf(t, got)); diff != "" {
			t.Errorf("what %s sealed opens to something else:\n%s", program, diff)
		}
	}
}

// sealHere sends a sealed kubbi of each kind.
func sealHere(ctx context.Context, t *testing.T, client *kubbi.Client) []sealedClaim {
	t.Helper()
	var claims []sealedClaim
	add := func(sent *kubbi.Sent, err error, inside ...sealedPart) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		claims = append(claims, sealedClaim{sent.ClaimURL, inside})
	}
	b64 := base64.StdEncoding.EncodeToString
	text := "made by Go, žluťoučký 🐎 \u2028\x00\n"
	sent, err := client.Send(ctx, kubbi.SendParams{Content: text, Sealed: true, MaxRetrievals: 1})
	add(sent, err, sealedPart{ContentType: api.TypeText, Base64: b64([]byte(text))})
	value := json.RawMessage(`{ "made": "by Go", "n": 1e2 }`)
	sent, err = client.Send(ctx, kubbi.SendParams{Content: value, Sealed: true, MaxRetrievals: 1, Metadata: map[string]int{"n": 1}})
	add(sent, err, sealedPart{ContentType: api.TypeJSON, Base64: b64(value)})
	binary := bytes.Repeat([]byte("\x00\xff\x89PNG"), 1<<16)
	sent, err = client.SendFiles(ctx, kubbi.SendFilesParams{Sealed: true, MaxRetrievals: 1, Files: []kubbi.File{
		{Name: "README.md", Content: "# Made by Go\n", ContentType: "text/markdown", Role: "instructions"},
		{Name: "dot.png", Content: b64(binary), ContentType: "image/png", Encoding: api.EncodingBase64},
		{Name: "empty.txt", ContentType: "text/plain"},
	}})
	add(sent, err,
		sealedPart{"README.md", "instructions", "text/markdown", b64([]byte("# Made by Go\n"))},
		sealedPart{"dot.png", "", "image/png", b64(binary)},
		sealedPart{"empty.txt", "", "text/plain", ""})
	return claims
}

// partsOf is a claimed payload in the form of the vectors.
func partsOf(t *testing.T, got *kubbi.Claimed) []sealedPart {
	t.Helper()
	b64 := base64.StdEncoding.EncodeToString
	if got.Type != api.TypePackage {
		return []sealedPart{{ContentType: got.ContentType, Base64: b64([]byte(got.Text()))}}
	}
	var parts []sealedPart
	for _, f := range got.Files {
		p := sealedPart{Name: f.Name, ContentType: f.ContentType, Base64: f.Content}
		if f.Role != nil {
			p.Role = *f.Role
		}
		if f.Encoding == "" {
			p.Base64 = b64([]byte(f.Content))
		}
		parts = append(parts, p)
	}
	return parts
}

// runCheck runs the code of a language in docs/wire.md with a check that uses it. The check
// gets the folder of vectors, the relay, and input as JSON. runCheck returns what it prints.
func runCheck(ctx context.Context, t *testing.T, relay *relaytest.Server, program, language, check, vectors string, input any) []byte {
	t.Helper()
	stdin, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(testkit.Root(t), "kubbi", "testdata", vectors)
	cmd := exec.CommandContext(ctx, program, testkit.DocProgram(t, "Sealed kubbis", language, filepath.Join("testdata", "sealed", check)), folder)
	cmd.Env = append(os.Environ(), "KUBBI_BASE_URL="+relay.URL, "KUBBI_API_KEY="+relay.APIKey,
		"NO_PROXY=127.0.0.1", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", check, err, out, stderr.String())
	}
	return out
}
