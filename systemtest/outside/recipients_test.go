package outside

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

// recipientsInput is what the other implementation gets: what to open, and for whom to seal.
type recipientsInput struct {
	Private  string         `json:"private"` // hexadecimal
	Public   string         `json:"public"`  // the Go client's, kbp_...
	Claims   []sealedClaim  `json:"claims"`
	Requests []requestToAns `json:"requests"`
}

type requestToAns struct {
	RequestURL string       `json:"request_url"`
	Inside     []sealedPart `json:"inside"`
}

// TestRecipientsPython has pyhpke open what Go has sealed for recipients and as answers, and
// Go what Python has.
func TestRecipientsPython(t *testing.T) {
	python := testkit.Needs(t, "KUBBI_PYTHON", "a Python with kubbi 0.1.0, cryptography and pyhpke")
	recipientsElsewhere(t, python, "python", "recipients.py")
}

// TestRecipientsNode does the same with an HPKE in JavaScript.
func TestRecipientsNode(t *testing.T) {
	recipientsElsewhere(t, testkit.NeedsNode(t), "javascript", "recipients.mjs")
}

func recipientsElsewhere(t *testing.T, program, language, check string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	relay := relaytest.New(t)
	own := kubbi.GenerateIdentity()
	client, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL), kubbi.WithIdentities(func() []*kubbi.Identity { return []*kubbi.Identity{own} }))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	theirs := kubbi.GenerateIdentity()
	private, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(theirs.Secret(), "kbi_"))
	if err != nil {
		t.Fatal(err)
	}
	in := recipientsInput{Private: hex.EncodeToString(private[:32]), Public: own.Recipient().String()}
	to := []kubbi.Recipient{own.Recipient(), theirs.Recipient()}
	text := "made by Go, žluťoučký 🐎 \u2028\x00\n"
	sent, err := client.Send(ctx, kubbi.SendParams{Content: text, To: to, MaxRetrievals: 1, Metadata: map[string]string{"from": "Go"}})
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	in.Claims = append(in.Claims, sealedClaim{sent.ClaimURL, []sealedPart{{ContentType: api.TypeText, Base64: b64([]byte(text))}}})
	asked := func(p kubbi.AskParams) *kubbi.Request {
		p.Message = "Für die „Kasse“:\tSchlüssel & Name \u2028 🐎 </script>"
		r, err := client.Ask(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	fields := kubbi.AskParams{Fields: []kubbi.Field{{Name: "API_KEY", Secret: true}, {Name: "NOTE", Lines: true}}}
	files := kubbi.AskParams{Files: true}
	here := asked(fields)
	if _, err := client.Answer(ctx, here.RequestURL, kubbi.AnswerParams{Values: map[string]string{"API_KEY": "é\"", "NOTE": "a\nb"}}); err != nil {
		t.Fatal(err)
	}
	in.Claims = append(in.Claims, sealedClaim{here.ClaimURL, []sealedPart{{ContentType: api.TypeJSON, Base64: b64([]byte(`{"API_KEY":"é\"","NOTE":"a\nb"}`))}}})
	binary := bytes.Repeat([]byte("\x00\xffGo"), 40_000)
	here = asked(files)
	if _, err := client.Answer(ctx, here.RequestURL, kubbi.AnswerParams{Sources: []kubbi.Source{{
		Name: "key.bin", ContentType: "application/octet-stream", Encoding: api.EncodingBase64, Size: int64(len(binary)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(binary)), nil },
	}}}); err != nil {
		t.Fatal(err)
	}
	in.Claims = append(in.Claims, sealedClaim{here.ClaimURL, []sealedPart{{Name: "key.bin", ContentType: "application/octet-stream", Base64: b64(binary)}}})

	// What they shall answer, and where the answer is then.
	want := map[string][]sealedPart{}
	for _, p := range []kubbi.AskParams{fields, files} {
		inside := []sealedPart{{ContentType: api.TypeJSON, Base64: b64([]byte(`{"API_KEY":"by another","NOTE":""}`))}}
		if p.Files {
			inside = []sealedPart{{Name: "a.bin", ContentType: "application/octet-stream", Base64: b64(binary)}, {Name: "b.txt", ContentType: "text/plain"}}
		}
		r := asked(p)
		in.Requests = append(in.Requests, requestToAns{r.RequestURL, inside})
		want[r.ClaimURL] = inside
	}

	out := runCheck(ctx, t, relay, program, language, check, "recipients", in)
	var made []sealedClaim
	if err := json.Unmarshal(out, &made); err != nil || len(made) != 2 {
		t.Fatalf("%s gives %d claims, want 2: %v", check, len(made), err)
	}
	for _, c := range made {
		if strings.Contains(c.ClaimURL, "#") {
			t.Error("a claim URL has a key")
		}
		want[c.ClaimURL] = c.Inside
	}
	for url, inside := range want {
		got, err := client.Claim(ctx, url)
		if err != nil {
			t.Errorf("claim what %s sealed: %v", program, err)
			continue
		}
		if diff := cmp.Diff(inside, partsOf(t, got)); diff != "" {
			t.Errorf("what %s sealed opens to something else:\n%s", program, diff)
		}
	}
}
