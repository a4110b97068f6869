package kubbi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/local"
)

// embedded gives a client of a relay inside this process, which needs neither
// account nor network. With the hosted service it is kubbi.NewClient("kb_...").
func embedded(opts ...kubbi.Option) (*kubbi.Client, func()) {
	dir, err := os.MkdirTemp("", "kubbi")
	if err != nil {
		log.Fatal(err)
	}
	const origin = "http://127.0.0.1:7117"
	relay, err := local.New(local.Config{Dir: dir, Origin: origin})
	if err != nil {
		log.Fatal(err)
	}
	client, err := kubbi.NewClient("", append(opts, kubbi.WithBaseURL(origin), kubbi.WithMiddleware(relay.RoundTripper))...)
	if err != nil {
		log.Fatal(err)
	}
	return client, func() {
		client.Close()
		relay.Close()
		os.RemoveAll(dir)
	}
}

// One party hands a secret to another, once.
func Example() {
	client, done := embedded()
	defer done()
	ctx := context.Background()

	sent, err := client.Send(ctx, kubbi.SendParams{Content: "the door code is 4711", MaxRetrievals: 1, TTL: 10 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	// sent.ClaimURL goes to the other party, who needs no API key:
	got, err := client.Claim(ctx, sent.ClaimURL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.Text())

	_, err = client.Claim(ctx, sent.ClaimURL)
	fmt.Println("again:", errors.Is(err, kubbi.ErrGone))
	// Output:
	// the door code is 4711
	// again: true
}

// A package of files, looked at before it is claimed.
func ExampleClient_SendFiles() {
	client, done := embedded()
	defer done()
	ctx := context.Background()

	sent, err := client.SendFiles(ctx, kubbi.SendFilesParams{
		Files: []kubbi.File{
			{Name: "README.md", Content: "# Read me", ContentType: "text/markdown", Role: "instructions"},
			{Name: "dot.png", Content: "iVBORw0KGgo=", ContentType: "image/png", Encoding: "base64"},
		},
		Metadata: map[string]string{"from": "agent A"},
	})
	if err != nil {
		log.Fatal(err)
	}
	look, err := client.Inspect(ctx, sent.ClaimURL)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range look.Files {
		fmt.Println(f.Name, f.ContentType, f.SizeBytes)
	}
	got, err := client.Claim(ctx, sent.ClaimURL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.Files[0].Content)
	// Output:
	// README.md text/markdown 9
	// dot.png image/png 8
	// # Read me
}

// A secret that not even the service can read: its key is a part of the claim
// URL that goes to the recipient alone.
func ExampleClient_Send_sealed() {
	client, done := embedded()
	defer done()
	ctx := context.Background()

	sent, err := client.Send(ctx, kubbi.SendParams{Content: "the door code is 4711", Sealed: true, MaxRetrievals: 1})
	if err != nil {
		log.Fatal(err)
	}
	withoutKey, _, _ := strings.Cut(sent.ClaimURL, "#")
	_, err = client.Claim(ctx, withoutKey)
	fmt.Println("without its key:", errors.Is(err, kubbi.ErrSealed))

	got, err := client.Claim(ctx, sent.ClaimURL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.Text())
	// Output:
	// without its key: true
	// the door code is 4711
}

// A secret that only one recipient can open. The claim URL alone opens nothing.
func ExampleClient_Send_to() {
	// The recipient keeps an identity, and gives its public key to the sender.
	var identities []*kubbi.Identity
	client, done := embedded(kubbi.WithIdentities(func() []*kubbi.Identity { return identities }))
	defer done()
	ctx := context.Background()
	identity := kubbi.GenerateIdentity()
	public := identity.Recipient().String()

	to, err := kubbi.ParseRecipient(public)
	if err != nil {
		log.Fatal(err)
	}
	sent, err := client.Send(ctx, kubbi.SendParams{Content: "the door code is 4711", To: []kubbi.Recipient{to}, MaxRetrievals: 1})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Claim(ctx, sent.ClaimURL)
	fmt.Println("without the identity:", errors.Is(err, kubbi.ErrSealed))

	identities = []*kubbi.Identity{identity}
	got, err := client.Claim(ctx, sent.ClaimURL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.Text())
	// Output:
	// without the identity: true
	// the door code is 4711
}

// An agent asks a person for a secret. The relay sees neither the secret nor a key.
func ExampleClient_Ask() {
	agent, done := embedded()
	defer done()
	ctx := context.Background()

	asked, err := agent.Ask(ctx, kubbi.AskParams{
		Message: "The API key of the payment service, for tonight's test.",
		Fields:  []kubbi.Field{{Name: "STRIPE_KEY", Secret: true}},
	})
	if err != nil {
		log.Fatal(err)
	}

	// asked.RequestURL goes to the person, who opens it in a browser, or with:
	question, err := agent.Question(ctx, asked.RequestURL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(question.Message)
	fmt.Println("same key:", question.Recipient.Fingerprint() == asked.Fingerprint)
	_, err = agent.Answer(ctx, asked.RequestURL, kubbi.AnswerParams{Question: question, Values: map[string]string{"STRIPE_KEY": "sk_test_4711"}})
	if err != nil {
		log.Fatal(err)
	}

	// Meanwhile the agent waits for it.
	now, err := agent.Asked(ctx, asked.ID, kubbi.WithWait(50*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(now.Status)
	got, err := agent.Claim(ctx, asked.ClaimURL)
	if err != nil {
		log.Fatal(err)
	}
	var values map[string]string
	if err := got.Decode(&values); err != nil {
		log.Fatal(err)
	}
	fmt.Println(values["STRIPE_KEY"])
	// Output:
	// The API key of the payment service, for tonight's test.
	// same key: true
	// answered
	// sk_test_4711
}

// Everything the caller has sent, page by page behind the scenes.
func ExampleClient_All() {
	client, done := embedded()
	defer done()
	ctx := context.Background()
	for _, content := range []any{"text", map[string]int{"n": 1}} {
		if _, err := client.Send(ctx, kubbi.SendParams{Content: content}); err != nil {
			log.Fatal(err)
		}
	}
	for k, err := range client.All(ctx, 0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(k.Status, k.ContentType)
	}
	// Output:
	// active application/json
	// active text/plain
}

// A file that is read while it is sent, and written while it is claimed: it is never in
// memory as a whole.
func ExampleClient_Claim_file() {
	client, done := embedded()
	defer done()
	ctx := context.Background()

	const size = 5 << 20
	sent, err := client.SendFiles(ctx, kubbi.SendFilesParams{Sources: []kubbi.Source{{
		Name: "zeros.bin", ContentType: "application/octet-stream", Encoding: "base64", Size: size,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(make([]byte, size))), nil },
	}}})
	if err != nil {
		log.Fatal(err)
	}

	f, err := os.CreateTemp("", "claim-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	got, err := client.Claim(ctx, sent.ClaimURL, kubbi.ToFile(func() (kubbi.PayloadFile, error) { return f, nil }))
	if err != nil {
		log.Fatal(err)
	}
	for _, part := range got.Parts {
		r, err := part.Open()
		if err != nil {
			log.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		fmt.Println(part.Name, n, err)
	}
	// Output:
	// zeros.bin 5242880 <nil>
}

// A payload that is written somewhere while it is received. The relay keeps it until
// Release, in case that fails.
func ExampleClient_ClaimTo() {
	client, done := embedded()
	defer done()
	ctx := context.Background()

	sent, err := client.Send(ctx, kubbi.SendParams{Content: map[string]int{"answer": 42}})
	if err != nil {
		log.Fatal(err)
	}
	got, err := client.ClaimTo(ctx, sent.ClaimURL, nil, func(c *kubbi.Claimed) error {
		r, err := c.Parts[0].Open()
		if err == nil {
			_, err = io.Copy(os.Stdout, r)
		}
		return err
	}, kubbi.HoldGrace())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println()
	fmt.Println("released:", got.Release(ctx))
	// Output:
	// {"answer":42}
	// released: <nil>
}

// The claim URL in a text, without its secrets.
func ExampleParseClaimURL() {
	u, err := kubbi.ParseClaimURL("I left it at https://api.kubbi.ai/r/Zm9yLXRlc3RzLW9ubHktbm90LWEtc2VjcmV0LTEyMzQ, good for an hour.")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.Origin())
	fmt.Println(u)
	// Output:
	// https://api.kubbi.ai
	// https://api.kubbi.ai/r/[redacted]
}

// A claim URL from somebody else leads only where the user allowed it to.
func ExampleClient_Claim_origin() {
	client, done := embedded()
	defer done()
	_, err := client.Claim(context.Background(), "https://evil.example/r/"+strings.Repeat("x", 43))
	fmt.Println(errors.Is(err, kubbi.ErrOrigin))
	// Output:
	// true
}
