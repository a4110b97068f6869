package kubbi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

var twoFields = []kubbi.Field{{Name: "STRIPE_KEY", Secret: true}, {Name: "NOTE", Lines: true}}

const (
	secretValue = "the-secret-value"
	askMessage  = "Für den „Test“: the key & a note, please \U0001F511 </script> \u2028"
)

var twoValues = map[string]string{"STRIPE_KEY": secretValue, "NOTE": "two\nthe-secret-lines"}

func ask(t *testing.T, c *kubbi.Client, p kubbi.AskParams) *kubbi.Request {
	t.Helper()
	if p.Message == "" {
		p.Message = askMessage
	}
	asked, err := c.Ask(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return asked
}

// A person is asked for values, answers once, and only the asker's claim URL opens the
// answer. The relay sees neither the values nor a key.
func TestAskForFields(t *testing.T) {
	relay, c, w, log := tappedRelay(t)
	ctx := t.Context()
	asked := ask(t, c, kubbi.AskParams{Fields: twoFields, TTL: 10 * time.Minute})
	if !strings.HasPrefix(asked.RequestURL, relay.URL+"/q/") || !strings.HasPrefix(asked.ClaimURL, relay.URL+"/r/") || asked.ExpiresAt.Sub(asked.CreatedAt.Time) != 10*time.Minute {
		t.Errorf("asked: %+v", asked)
	}
	_, public, _ := strings.Cut(asked.RequestURL, "#p=")
	_, private, _ := strings.Cut(asked.ClaimURL, "#i=")
	if len(public) != 43 || len(private) != 86 {
		t.Fatal("the URLs lack their keys")
	}
	if now, err := c.Asked(ctx, asked.ID); err != nil || now.Status != api.RequestPending || now.EndedAt != nil {
		t.Errorf("before the answer: %+v, %v", now, err)
	}
	if _, err := c.Claim(ctx, asked.ClaimURL); !errors.Is(err, kubbi.ErrNotFound) || !strings.Contains(err.Error(), "no answer yet") {
		t.Errorf("claimed before the answer: %v", err)
	}

	person, err := kubbi.NewClient("", kubbi.WithBaseURL(relay.URL), kubbi.WithTransport(w.transport(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close()
	q, err := person.Question(ctx, " <"+asked.RequestURL+"> ")
	if err != nil {
		t.Fatal(err)
	}
	if q.Message != askMessage || len(q.Fields) != 2 || q.Fields[0] != twoFields[0] || q.Fields[1] != twoFields[1] || q.Files || q.Origin != relay.URL || q.Recipient.Fingerprint() != asked.Fingerprint {
		t.Errorf("the question is %+v", q)
	}
	var sent atomic.Int64
	done, err := person.Answer(ctx, asked.RequestURL, kubbi.AnswerParams{Question: q, Values: twoValues, Progress: func(done, _ int64) { sent.Store(done) }})
	if err != nil || done.Status != api.RequestAnswered || done.ExpiresAt.Sub(done.AnsweredAt.Time) != 10*time.Minute || sent.Load() == 0 {
		t.Fatalf("answered: %+v, %v", done, err)
	}
	if _, err := person.Answer(ctx, asked.RequestURL, kubbi.AnswerParams{Question: q, Values: twoValues}); !errors.Is(err, kubbi.ErrConflict) {
		t.Errorf("a second answer: %v", err)
	}
	if _, err := person.Question(ctx, asked.RequestURL); !errors.Is(err, kubbi.ErrConflict) || !strings.Contains(err.Error(), "answered already") {
		t.Errorf("the question of an answered request: %v", err)
	}
	if now, err := c.Asked(ctx, asked.ID); err != nil || now.Status != api.RequestAnswered || now.EndedAt == nil {
		t.Errorf("after the answer: %+v, %v", now, err)
	}
	if _, err := c.Withdraw(ctx, asked.ID); !errors.Is(err, kubbi.ErrConflict) || !strings.Contains(err.Error(), "it is answered") {
		t.Errorf("withdrawn after the answer: %v", err)
	}

	bare, _, _ := strings.Cut(asked.ClaimURL, "#")
	other := ask(t, c, kubbi.AskParams{Fields: twoFields})
	_, otherPrivate, _ := strings.Cut(other.ClaimURL, "#")
	for name, url := range map[string]string{
		"no key": bare, "half a key": asked.ClaimURL[:len(asked.ClaimURL)-1], "another request's": bare + "#" + otherPrivate,
		"another binding": bare + "#i=" + private[:43] + otherPrivate[45:], "a key of a sealed one": bare + "#k=" + private[:43],
	} {
		_, err := c.Claim(ctx, url)
		var e *kubbi.Error
		if !errors.As(err, &e) || !errors.Is(err, kubbi.ErrSealed) || e.Uncertain || !strings.HasSuffix(e.Message, "nothing was claimed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	seen := inspected(t, c, asked.ClaimURL)
	if !seen.Yours || seen.RetrievalCount != 0 || *seen.MaxRetrievals != 1 {
		t.Errorf("inspect: %+v", seen)
	}
	got, err := c.Claim(ctx, asked.ClaimURL)
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]string
	if err := got.Decode(&values); err != nil || got.ContentType != api.TypeJSON || len(values) != 2 || values["STRIPE_KEY"] != secretValue || values["NOTE"] != twoValues["NOTE"] || !got.Burned {
		t.Errorf("the answer is %+v, %v", got, err)
	}
	if !strings.Contains(w.text(), "POST /q/") {
		t.Error("the answer was not seen on its way")
	}
	for what, text := range map[string]string{"the traffic": w.text(), "the log": log.String(), "the relay's files": stored(t, relay.Dir)} {
		for _, secret := range []string{secretValue, "the-secret-lines", public[:20], private[:20], base64.StdEncoding.EncodeToString([]byte(secretValue))[:20]} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has a secret", what)
			}
		}
	}
}

// A request for files takes files of any bytes, and streams them.
func TestAskForFiles(t *testing.T) {
	relay, c, w, _ := tappedRelay(t)
	asked := ask(t, c, kubbi.AskParams{Files: true})
	binary := strings.Repeat("\x00\xffthe-secret-file", 100_000)
	source := func(name, data, encoding string) kubbi.Source {
		return kubbi.Source{Name: name, ContentType: "a/b", Encoding: encoding, Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(data)), nil
		}}
	}
	person := clientOf(t, "", relay.URL)
	if _, err := person.Answer(t.Context(), asked.RequestURL, kubbi.AnswerParams{Sources: []kubbi.Source{source("key.pem", binary, "base64"), source("ключ.txt", "", "")}}); err != nil {
		t.Fatal(err)
	}
	got := claimParts(t, c, asked.ClaimURL)
	if len(got) != 2 || got["key.pem"] != binary || got["ключ.txt"] != "" {
		t.Errorf("%d files, or others", len(got))
	}
	if strings.Contains(w.text(), "the-secret-file") || strings.Contains(w.text(), "key.pem") {
		t.Error("the relay has seen something")
	}
}

// What does not answer the question is refused before anything is sent, and the request
// stays open. The errors hold no value.
func TestAnswerIsChecked(t *testing.T) {
	relay, c, _, log := tappedRelay(t)
	ctx := t.Context()
	fields, files := ask(t, c, kubbi.AskParams{Fields: twoFields}), ask(t, c, kubbi.AskParams{Files: true})
	text := kubbi.Source{Name: "a.txt", ContentType: "text/plain", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }}
	person := clientOf(t, "", relay.URL)
	big := text
	big.Size = 1 << 40
	for name, tt := range map[string]struct {
		to   *kubbi.Request
		p    kubbi.AnswerParams
		says string
	}{
		"nothing":           {fields, kubbi.AnswerParams{}, "no value for STRIPE_KEY"},
		"one missing":       {fields, kubbi.AnswerParams{Values: map[string]string{"STRIPE_KEY": secretValue}}, "no value for NOTE"},
		"one too many":      {fields, kubbi.AnswerParams{Values: map[string]string{"STRIPE_KEY": secretValue, "NOTE": "", "X": secretValue}}, `does not ask for "X"`},
		"more than a line":  {fields, kubbi.AnswerParams{Values: map[string]string{"STRIPE_KEY": secretValue + "\n", "NOTE": ""}}, "one line"},
		"not UTF-8":         {fields, kubbi.AnswerParams{Values: map[string]string{"STRIPE_KEY": secretValue + "\xff", "NOTE": ""}}, "UTF-8"},
		"files":             {fields, kubbi.AnswerParams{Sources: []kubbi.Source{text}}, "for values"},
		"values":            {files, kubbi.AnswerParams{Values: twoValues}, "for files"},
		"no files":          {files, kubbi.AnswerParams{}, "for files"},
		"too many files":    {files, kubbi.AnswerParams{Sources: make([]kubbi.Source, 21)}, "21 files"},
		"two of one name":   {files, kubbi.AnswerParams{Sources: []kubbi.Source{text, text}}, "another one"},
		"a file too large":  {files, kubbi.AnswerParams{Sources: []kubbi.Source{big}}, "at most 52428800"},
		"a name too long":   {files, kubbi.AnswerParams{Sources: []kubbi.Source{{Name: strings.Repeat("x", 256), Open: text.Open}}}, "255"},
		"a file that grows": {files, kubbi.AnswerParams{Sources: []kubbi.Source{{Name: "a", ContentType: "a/b", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }}}}, "more bytes"},
	} {
		_, err := person.Answer(ctx, tt.to.RequestURL, tt.p)
		var e *kubbi.Error
		if !errors.As(err, &e) || !errors.Is(err, kubbi.ErrValidation) || !strings.Contains(e.Message, tt.says) || strings.Contains(err.Error(), secretValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Contains(log.String(), secretValue) {
		t.Error("the log has a value")
	}
	for _, asked := range []*kubbi.Request{fields, files} {
		if now, err := c.Asked(ctx, asked.ID); err != nil || now.Status != api.RequestPending {
			t.Errorf("%+v, %v", now, err)
		}
	}
	for name, url := range map[string]string{
		"a claim URL": fields.ClaimURL, "no key": cutAt(fields.RequestURL, "#"), "half a key": fields.RequestURL[:len(fields.RequestURL)-2],
		"two": fields.RequestURL + " " + files.RequestURL, "nothing": "", "a word": "please", "another path": relay.URL + "/x/abc", "no host": "https:///q/x#p=y",
		"a token": cutAt(fields.RequestURL, "#")[len(relay.URL+"/q/"):],
	} {
		if _, err := person.Question(ctx, url); !errors.Is(err, kubbi.ErrValidation) || strings.Contains(err.Error(), fields.RequestURL[len(relay.URL)+3:][:20]) {
			t.Errorf("%s as a request URL: %v", name, err)
		}
	}
	for _, text := range []string{"Please answer " + fields.RequestURL + ", thanks.", "[" + fields.RequestURL + "](" + fields.RequestURL + ")", "`" + fields.RequestURL + "`\n", "<" + fields.RequestURL + ">.", strings.Replace(fields.RequestURL, "#", "%23", 1)} {
		if q, err := person.Question(ctx, text); err != nil || q.Recipient.Fingerprint() != fields.Fingerprint {
			t.Errorf("a request URL in a text: %v", err)
		}
	}
	if _, err := person.Claim(ctx, fields.RequestURL); !errors.Is(err, kubbi.ErrValidation) || !strings.Contains(err.Error(), "kubbi-mcp answer") {
		t.Errorf("a request URL is claimed: %v", err)
	}
	elsewhere := strings.Replace(fields.RequestURL, relay.URL, "https://evil.example", 1)
	if _, err := person.Question(ctx, elsewhere); !errors.Is(err, kubbi.ErrOrigin) {
		t.Errorf("another origin is asked: %v", err)
	}
	if _, err := person.Answer(ctx, elsewhere, kubbi.AnswerParams{Values: twoValues}); !errors.Is(err, kubbi.ErrOrigin) {
		t.Errorf("another origin gets the answer: %v", err)
	}
}

func cutAt(s, sep string) string {
	before, _, _ := strings.Cut(s, sep)
	return before
}

// A request that was withdrawn can't be answered, and says so. So does one that nobody made.
func TestWithdraw(t *testing.T) {
	relay, c, _, _ := tappedRelay(t)
	ctx := t.Context()
	asked := ask(t, c, kubbi.AskParams{Fields: twoFields})
	person := clientOf(t, "", relay.URL)
	q, err := person.Question(ctx, asked.RequestURL)
	if err != nil {
		t.Fatal(err)
	}
	if now, err := c.Withdraw(ctx, asked.ID); err != nil || now.Status != api.RequestWithdrawn {
		t.Fatalf("withdraw: %+v, %v", now, err)
	}
	if _, err := person.Question(ctx, asked.RequestURL); !errors.Is(err, kubbi.ErrGone) || !strings.Contains(err.Error(), "withdrawn") {
		t.Errorf("the question after that: %v", err)
	}
	for _, q := range []*kubbi.Question{nil, q} {
		if _, err := person.Answer(ctx, asked.RequestURL, kubbi.AnswerParams{Question: q, Values: twoValues}); !errors.Is(err, kubbi.ErrGone) || !strings.Contains(err.Error(), "withdrawn") {
			t.Errorf("answered after that: %v", err)
		}
	}
	if _, err := c.Withdraw(ctx, asked.ID); !errors.Is(err, kubbi.ErrConflict) || !strings.Contains(err.Error(), "it is withdrawn") {
		t.Errorf("withdrawn twice: %v", err)
	}
	sent, err := c.Send(ctx, kubbi.SendParams{Content: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Asked(ctx, sent.ID); !errors.Is(err, kubbi.ErrNotFound) || !strings.Contains(err.Error(), "no such request") {
		t.Errorf("a kubbi is taken for a request: %v", err)
	}
	if _, err := person.Question(ctx, relay.URL+"/q/"+sent.ClaimToken+"#"+strings.SplitN(asked.RequestURL, "#", 2)[1]); !errors.Is(err, kubbi.ErrNotFound) {
		t.Errorf("a kubbi is taken for a question: %v", err)
	}
}

// A relay, or whoever passes on the request URL, may change the question or the public key.
// A changed key has another fingerprint. An answer to a changed question, or to another
// request, does not open, and does not count.
func TestQuestionTampered(t *testing.T) {
	relay, c, _, _ := tappedRelay(t)
	ctx := t.Context()
	for name, change := range map[string]func(*api.Question){
		"the message":     func(q *api.Question) { q.Message = "Your bank password, please" },
		"a space":         func(q *api.Question) { q.Message += " " },
		"a field more":    func(q *api.Question) { q.Fields = append(q.Fields, api.Field{Name: "PIN", Secret: true}) },
		"a field less":    func(q *api.Question) { q.Fields = q.Fields[:1] },
		"a name":          func(q *api.Question) { q.Fields[0].Name = "PIN" },
		"no secret":       func(q *api.Question) { q.Fields[0].Secret = false },
		"lines":           func(q *api.Question) { q.Fields[0].Lines = true },
		"order":           func(q *api.Question) { q.Fields[0], q.Fields[1] = q.Fields[1], q.Fields[0] },
		"nothing changes": func(*api.Question) {},
	} {
		asked := ask(t, c, kubbi.AskParams{Fields: twoFields})
		changed := func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err != nil || r.Method != http.MethodGet {
					return resp, err
				}
				var q api.Question
				err = json.NewDecoder(resp.Body).Decode(&q)
				resp.Body.Close()
				change(&q)
				b, _ := json.Marshal(q)
				resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
				return resp, err
			})
		}
		person, err := kubbi.NewClient("", kubbi.WithBaseURL(relay.URL), kubbi.WithMiddleware(changed))
		if err != nil {
			t.Fatal(err)
		}
		defer person.Close()
		q, err := person.Question(ctx, asked.RequestURL)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]string{}
		for _, f := range q.Fields {
			values[f.Name] = secretValue
		}
		if _, err := person.Answer(ctx, asked.RequestURL, kubbi.AnswerParams{Values: values}); err != nil {
			t.Fatal(err)
		}
		_, err = c.Claim(ctx, asked.ClaimURL)
		if name == "nothing changes" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var e *kubbi.Error
		if !errors.As(err, &e) || !errors.Is(err, kubbi.ErrSealed) || e.Uncertain || !strings.Contains(e.Message, "other words or fields") || inspected(t, c, asked.ClaimURL).RetrievalCount != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Another's public key in the request URL.
	mine, evil := ask(t, c, kubbi.AskParams{Fields: twoFields}), ask(t, c, kubbi.AskParams{Fields: twoFields})
	swapped := cutAt(mine.RequestURL, "#") + "#" + strings.SplitN(evil.RequestURL, "#", 2)[1]
	person := clientOf(t, "", relay.URL)
	q, err := person.Question(ctx, swapped)
	if err != nil || q.Recipient.Fingerprint() == mine.Fingerprint || q.Recipient.Fingerprint() != evil.Fingerprint {
		t.Errorf("the swapped key has the fingerprint of the asker's, %v", err)
	}
	if _, err := person.Answer(ctx, swapped, kubbi.AnswerParams{Values: twoValues}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Claim(ctx, mine.ClaimURL); !errors.Is(err, kubbi.ErrSealed) || !strings.Contains(err.Error(), "not sealed for this request") {
		t.Errorf("an answer for somebody else: %v", err)
	}

	// The answer of one request, which the relay gives for another.
	first, second := ask(t, c, kubbi.AskParams{Fields: twoFields}), ask(t, c, kubbi.AskParams{Fields: twoFields})
	if _, err := person.Answer(ctx, first.RequestURL, kubbi.AnswerParams{Values: twoValues}); err != nil {
		t.Fatal(err)
	}
	replayed := cutAt(first.ClaimURL, "#") + "#" + strings.SplitN(second.ClaimURL, "#", 2)[1]
	if _, err := c.Claim(ctx, replayed); !errors.Is(err, kubbi.ErrSealed) || inspected(t, c, first.ClaimURL).RetrievalCount != 0 {
		t.Errorf("the answer of another request: %v", err)
	}
	// What is not sealed, or under a key that others know, is no answer.
	for _, p := range []kubbi.SendParams{{Content: `{"STRIPE_KEY":"evil","NOTE":""}`}, {Content: "evil", Sealed: true}, {Content: "evil", To: []kubbi.Recipient{kubbi.GenerateIdentity().Recipient()}}} {
		sent, err := c.Send(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		forged := cutAt(sent.ClaimURL, "#") + "#" + strings.SplitN(second.ClaimURL, "#", 2)[1]
		if _, err := c.Claim(ctx, forged); !errors.Is(err, kubbi.ErrSealed) || inspected(t, c, sent.ClaimURL).RetrievalCount != 0 {
			t.Errorf("a kubbi that is no answer: %v", err)
		}
	}
}

// Answers race for one request: one is taken, and it opens. An answer whose receipt was lost
// is not taken for a second one.
func TestAnswersRace(t *testing.T) {
	relay, c, _, _ := tappedRelay(t)
	asked := ask(t, c, kubbi.AskParams{Fields: twoFields[:1]})
	var lost atomic.Int64
	loseFirst := func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && r.Method == http.MethodPost && resp.StatusCode == http.StatusCreated && lost.Add(1) == 1 {
				resp.Body.Close()
				return nil, io.ErrUnexpectedEOF
			}
			return resp, err
		})
	}
	var wait sync.WaitGroup
	var taken atomic.Int64
	for range 16 {
		wait.Go(func() {
			person, err := kubbi.NewClient("", kubbi.WithBaseURL(relay.URL), kubbi.WithMiddleware(loseFirst))
			if err != nil {
				t.Error(err)
				return
			}
			defer person.Close()
			switch _, err := person.Answer(t.Context(), asked.RequestURL, kubbi.AnswerParams{Values: map[string]string{"STRIPE_KEY": secretValue}}); {
			case err == nil:
				taken.Add(1)
			case !errors.Is(err, kubbi.ErrConflict):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if taken.Load() != 1 || lost.Load() < 2 {
		t.Errorf("%d answers were taken, of which %d receipts were sent", taken.Load(), lost.Load())
	}
	if got, err := c.Claim(t.Context(), asked.ClaimURL); err != nil || !strings.Contains(got.Text(), secretValue) {
		t.Errorf("the answer: %v", err)
	}
}
