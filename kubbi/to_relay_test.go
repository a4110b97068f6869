package kubbi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// clientOf makes a client of a relay that has these identities.
func clientOf(t *testing.T, apiKey, url string, identities ...*kubbi.Identity) *kubbi.Client {
	t.Helper()
	c, err := kubbi.NewClient(apiKey, kubbi.WithBaseURL(url), kubbi.WithIdentities(func() []*kubbi.Identity { return identities }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// What is sealed for recipients is opened by each of them, in every way to claim, and by
// nobody else, although all have the claim URL. Nobody else's attempt counts.
func TestSealedForRecipients(t *testing.T) {
	relay, sender, w, log := tappedRelay(t)
	ctx := t.Context()
	anna, ben, eve := kubbi.GenerateIdentity(), kubbi.GenerateIdentity(), kubbi.GenerateIdentity()
	to := []kubbi.Recipient{anna.Recipient(), ben.Recipient(), anna.Recipient()}
	binary := bytes.Repeat([]byte("\x00\xffthe-plaintext"), 20_000)
	sends := map[string]func() (*kubbi.Sent, error){
		"a text": func() (*kubbi.Sent, error) {
			return sender.Send(ctx, kubbi.SendParams{Content: "the-plaintext", To: to, Metadata: map[string]int{"n": 1}})
		},
		"a package": func() (*kubbi.Sent, error) {
			return sender.SendFiles(ctx, kubbi.SendFilesParams{To: to, Files: []kubbi.File{
				{Name: "a.txt", Content: "the-plaintext", ContentType: "text/plain"},
				{Name: "b.bin", Content: base64.StdEncoding.EncodeToString(binary), ContentType: "a/b", Encoding: api.EncodingBase64},
			}})
		},
	}
	for what, send := range sends {
		sent, err := send()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if strings.Contains(sent.ClaimURL, "#") {
			t.Fatalf("%s: the claim URL has a key", what)
		}
		for name, who := range map[string]*kubbi.Identity{"Anna": anna, "Ben": ben} {
			c := clientOf(t, "", relay.URL, eve, who)
			seen, err := c.Inspect(ctx, sent.ClaimURL)
			if err != nil || !seen.Sealed() || !seen.Yours || len(seen.Recipients) != 2 || seen.Recipients[1] != ben.Recipient().KeyID() {
				t.Errorf("%s: %s inspects %+v, %v", what, name, seen, err)
			}
			want := map[string]string{"": "the-plaintext"}
			if what == "a package" {
				want = map[string]string{"a.txt": "the-plaintext", "b.bin": string(binary)}
			}
			for way, got := range map[string]map[string]string{
				"in a file": claimParts(t, c, sent.ClaimURL), "as a token": claimParts(t, c, sent.ClaimToken),
				"inspected": claimParts(t, c, sent.ClaimURL, kubbi.WithInspected(seen)), "in memory": claimParts(t, c, sent.ClaimURL, kubbi.ToFile(nil)),
			} {
				if len(got) != len(want) || got[""] != want[""] || got["a.txt"] != want["a.txt"] || got["b.bin"] != want["b.bin"] {
					t.Errorf("%s: %s gets something else %s", what, name, way)
				}
			}
			streamed := ""
			if _, err := c.ClaimTo(ctx, sent.ClaimURL, nil, func(got *kubbi.Claimed) error {
				for _, p := range got.Parts {
					r, err := p.Open()
					if err != nil {
						return err
					}
					b, err := io.ReadAll(r)
					streamed += string(b)
					if err != nil {
						return err
					}
				}
				return nil
			}); err != nil || streamed != want[""]+want["a.txt"]+want["b.bin"] {
				t.Errorf("%s: %s gets something else as a stream: %v", what, name, err)
			}
		}
		before := inspected(t, sender, sent.ClaimURL).RetrievalCount
		for name, tt := range map[string]struct {
			client *kubbi.Client
			url    string
			says   string
		}{
			"no key":       {clientOf(t, "", relay.URL), sent.ClaimURL, "there is no private key here"},
			"not theirs":   {clientOf(t, "", relay.URL, anna).WithoutIdentities(), sent.ClaimURL, "there is no private key here"},
			"no option":    {sender, sent.ClaimURL, "there is no private key here"},
			"another key":  {clientOf(t, "", relay.URL, eve), sent.ClaimURL, "your key has the id " + eve.Recipient().KeyID()},
			"a token":      {clientOf(t, "", relay.URL, eve), sent.ClaimToken, anna.Recipient().KeyID() + ", " + ben.Recipient().KeyID()},
			"a key in it":  {clientOf(t, "", relay.URL, anna), sent.ClaimURL + "#k=" + strings.Repeat("A", 43), "another key"},
			"an answer's":  {clientOf(t, "", relay.URL, anna), sent.ClaimURL + "#i=" + strings.Repeat("A", 86), "not sealed for this request"},
			"half a key":   {clientOf(t, "", relay.URL, anna), sent.ClaimURL + "#i=" + strings.Repeat("A", 85), "not a whole key"},
			"empty answer": {clientOf(t, "", relay.URL, anna), sent.ClaimURL + "#i=", "not a whole key"},
		} {
			_, err := tt.client.Claim(ctx, tt.url)
			var e *kubbi.Error
			if !errors.As(err, &e) || !errors.Is(err, kubbi.ErrSealed) || e.Uncertain || !strings.Contains(e.Message, tt.says) || !strings.HasSuffix(e.Message, "nothing was claimed") {
				t.Errorf("%s, %s: %v", what, name, err)
			}
			if seen := inspected(t, tt.client, tt.url); seen.Yours || len(seen.Recipients) != 2 {
				t.Errorf("%s, %s: inspect says %v, %v", what, name, seen.Yours, seen.Recipients)
			}
		}
		if n := inspected(t, sender, sent.ClaimURL).RetrievalCount; n != before {
			t.Errorf("%s: %d retrievals were spent", what, n-before)
		}
		k, err := sender.Get(ctx, sent.ID)
		if err != nil || len(kubbi.RecipientsOf(k.Metadata)) != 2 {
			t.Errorf("%s: get says %+v, %v", what, k, err)
		}
	}
	for _, text := range []string{w.text(), log.String(), stored(t, relay.Dir)} {
		for _, secret := range []string{"the-plaintext", "a.txt", anna.Secret()[4:24], ben.Secret()[4:24]} {
			if strings.Contains(text, secret) {
				t.Error("a secret is in the traffic, in the log or in the relay's files")
			}
		}
	}
}

func inspected(t *testing.T, c *kubbi.Client, url string) *kubbi.Inspected {
	t.Helper()
	seen, err := c.Inspect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// A claim that lost its answer finds the key when it is repeated, although the kubbi is
// burned and inspect does not show its metadata any more.
func TestSealedForRecipientsRepeated(t *testing.T) {
	relay, sender, _, _ := tappedRelay(t)
	anna := kubbi.GenerateIdentity()
	sent, err := sender.Send(t.Context(), kubbi.SendParams{Content: "the-plaintext", To: []kubbi.Recipient{anna.Recipient()}, MaxRetrievals: 1})
	if err != nil {
		t.Fatal(err)
	}
	key := kubbi.NewIdempotencyKey()
	c := clientOf(t, "", relay.URL, anna)
	for range 2 {
		got, err := c.Claim(t.Context(), sent.ClaimURL, kubbi.WithIdempotencyKey(key), kubbi.HoldGrace())
		if err != nil || got.Text() != "the-plaintext" {
			t.Fatalf("claim: %v", err)
		}
	}
}

// The error for too many recipients says how many there can be, and so many can be.
func TestSealedForTooMany(t *testing.T) {
	_, c, _, _ := tappedRelay(t)
	for _, metadata := range []any{nil, map[string]string{"note": strings.Repeat("x", 300)}, map[string]string{"note": strings.Repeat("x", 960)}} {
		var to []kubbi.Recipient
		for range 9 {
			to = append(to, kubbi.GenerateIdentity().Recipient())
		}
		_, err := c.Send(t.Context(), kubbi.SendParams{Content: "x", To: to, Metadata: metadata})
		var e *kubbi.Error
		if !errors.As(err, &e) || !errors.Is(err, kubbi.ErrValidation) || e.Status != 0 {
			t.Fatalf("nine recipients: %v", err)
		}
		_, text, _ := strings.Cut(e.Message, "it can have ")
		most := int(text[0] - '0')
		for n := 1; n < 9; n++ {
			_, err := c.Send(t.Context(), kubbi.SendParams{Content: "x", To: to[:n], Metadata: metadata})
			if (err == nil) != (n <= most) {
				t.Errorf("the error says that %d recipients fit; %d: %v", most, n, err)
			}
		}
	}
	if _, err := c.Send(t.Context(), kubbi.SendParams{Content: "x", To: []kubbi.Recipient{{}}}); !errors.Is(err, kubbi.ErrValidation) {
		t.Errorf("no key at all: %v", err)
	}
}

// A relay that changes for whom a kubbi is sealed, or its encrypted key, is found out before
// a retrieval is spent, or gives nothing if it does so with the claim.
func TestSealedForRecipientsTampered(t *testing.T) {
	relay, sender, _, _ := tappedRelay(t)
	ctx := t.Context()
	anna, ben := kubbi.GenerateIdentity(), kubbi.GenerateIdentity()
	type stanza = map[string]any
	changes := map[string]func(seal, other map[string]any){
		"recipients swapped": func(s, _ map[string]any) { to := s["to"].([]any); to[0], to[1] = to[1], to[0] },
		"one left out":       func(s, _ map[string]any) { s["to"] = s["to"].([]any)[:1] },
		"the wrong key ids": func(s, _ map[string]any) {
			a, b := s["to"].([]any)[0].(stanza), s["to"].([]any)[1].(stanza)
			a["kid"], b["kid"] = b["kid"], a["kid"]
		},
		"the wrong keys": func(s, _ map[string]any) {
			a, b := s["to"].([]any)[0].(stanza), s["to"].([]any)[1].(stanza)
			a["key"], b["key"] = b["key"], a["key"]
		},
		"another kubbi's keys": func(s, other map[string]any) { s["to"] = other["to"] },
		"another kubbi's seal": func(s, other map[string]any) { s["to"], s["kid"] = other["to"], other["kid"] },
		"a flipped bit":        func(s, _ map[string]any) { a := s["to"].([]any)[0].(stanza); a["key"] = flipped(a["key"].(string)) },
		"a cut key":            func(s, _ map[string]any) { a := s["to"].([]any)[0].(stanza); a["key"] = a["key"].(string)[1:] },
		"no key":               func(s, _ map[string]any) { delete(s["to"].([]any)[0].(stanza), "key") },
		"no recipients":        func(s, _ map[string]any) { delete(s, "to") },
		"a word":               func(s, _ map[string]any) { s["to"] = "anna" },
		"numbers":              func(s, _ map[string]any) { s["to"] = []any{1} },
		"no seal":              func(s, _ map[string]any) { clear(s) },
		"another key id":       func(s, _ map[string]any) { s["kid"] = "AAAAAAAAAAAAAAAA" },
	}
	for name, change := range changes {
		for _, suffix := range []string{api.SuffixInspect, api.SuffixClaim} {
			var other map[string]any // the seal of another kubbi for the same recipients
			changed := func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					if !strings.HasSuffix(r.URL.Path, suffix) {
						return next.RoundTrip(r)
					}
					r = r.Clone(r.Context())
					r.Header.Set("Accept", api.TypeJSON)
					resp, err := next.RoundTrip(r)
					if err != nil || resp.StatusCode != http.StatusOK {
						return resp, err
					}
					var body map[string]any
					err = json.NewDecoder(resp.Body).Decode(&body)
					resp.Body.Close()
					metadata := body["metadata"].(map[string]any)
					seal := metadata["sealed"].(map[string]any)
					if other == nil {
						other = seal
					} else {
						change(seal, other)
						if len(seal) == 0 {
							delete(metadata, "sealed")
						}
					}
					b, _ := json.Marshal(body)
					resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
					return resp, err
				})
			}
			c, err := kubbi.NewClient("", kubbi.WithBaseURL(relay.URL), kubbi.WithMiddleware(changed),
				kubbi.WithIdentities(func() []*kubbi.Identity { return []*kubbi.Identity{anna} }))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var sent *kubbi.Sent
			for range 2 {
				if sent, err = sender.Send(ctx, kubbi.SendParams{Content: "the-plaintext", To: []kubbi.Recipient{anna.Recipient(), ben.Recipient()}}); err != nil {
					t.Fatal(err)
				}
				if other == nil {
					if _, err := c.Claim(ctx, sent.ClaimURL); err != nil {
						t.Fatal(err)
					}
				}
			}
			got, err := c.Claim(ctx, sent.ClaimURL)
			counted := inspected(t, sender, sent.ClaimURL).RetrievalCount
			var e *kubbi.Error
			switch harmless := suffix == api.SuffixInspect && (name == "recipients swapped" || name == "one left out" || name == "no seal"); {
			case harmless: // only the claim's own metadata counts
				if err != nil || got.Text() != "the-plaintext" {
					t.Errorf("%s in %s: %v", name, suffix, err)
				}
			case !errors.As(err, &e) || !errors.Is(err, kubbi.ErrSealed) || e.Uncertain != (suffix == api.SuffixClaim || name == "another kubbi's seal"):
				t.Errorf("%s in %s: %v", name, suffix, err)
			case name == "another kubbi's seal": // the claim finds out
			case counted != 0 && suffix == api.SuffixInspect:
				t.Errorf("%s in %s: it has counted", name, suffix)
			case strings.Contains(err.Error(), anna.Secret()[4:24]):
				t.Errorf("%s in %s: the error has a key", name, suffix)
			}
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
