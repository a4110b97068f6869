package browser

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// canary is in every value and every file that is answered.
const canary = "canary-5f0c1d"

// TestRequestPage answers requests in Chromium, as people do, and opens the answers as their
// asker. No answer is in clear in what the relay gets.
func TestRequestPage(t *testing.T) {
	t.Parallel()
	env := needsChromium(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	s := newAskSite(ctx, t)
	runInChromium(ctx, t, "request.mjs", `\d\d states passed, 0 failed`, append(env, "KUBBI_SITE="+s.server.URL, "KUBBI_OUT="+t.TempDir())...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := bytes.Count(s.received.Bytes(), []byte("POST /q/")); n < 10 || s.opened < 8 {
		t.Errorf("%d answers came, %d were opened", n, s.opened)
	}
	for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), url.QueryEscape(canary), "STRIPE_KEY="} {
		if bytes.Contains(s.received.Bytes(), []byte(form)) {
			t.Errorf("the relay got %q in clear", form)
		}
	}
	for _, asked := range s.requests {
		if _, public, _ := strings.Cut(asked.RequestURL, "#p="); bytes.Contains(s.received.Bytes(), []byte(public)) {
			t.Error("the relay got the fragment of a link")
		}
	}
}

// askSite makes requests and opens their answers for the check. It loses or changes what it
// passes on, where that is asked.
type askSite struct {
	*site
	requests map[string]*kubbi.Request // by id
	lose     map[string]int            // by path: so many answers to a POST
	block    map[string]bool           // by path: no POST arrives
	change   map[string]bool           // by path: the message
	opened   int
	claimed  []string // links
}

func newAskSite(ctx context.Context, t *testing.T) *askSite {
	t.Helper()
	a := &askSite{requests: map[string]*kubbi.Request{}, lose: map[string]int{}, block: map[string]bool{}, change: map[string]bool{}}
	newSite(ctx, t, func(s *site) http.Handler {
		a.site = s
		s.next.ModifyResponse = a.changed
		return a
	})
	return a
}

// ServeHTTP makes a request at /ask/KIND, opens the answer at /open/ID, loses nothing more
// after /find (at /find?later the grace time is over, at /find?ID a request is withdrawn), and
// passes all else on.
func (s *askSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, ask := strings.CutPrefix(r.URL.Path, "/ask/")
	id, open := strings.CutPrefix(r.URL.Path, "/open/")
	if r.URL.Path == "/find" {
		s.mu.Lock()
		clear(s.lose)
		clear(s.block)
		s.mu.Unlock()
		if r.URL.RawQuery == "later" {
			s.relay.Clock.Advance(2 * time.Minute)
		} else if id := r.URL.RawQuery; id != "" {
			if _, err := s.client.Withdraw(s.ctx, id); err != nil {
				s.t.Error(err)
			}
		}
		return
	}
	if ask || open {
		var out any
		var err error
		if ask {
			out, err = s.ask(kind)
		} else {
			out, err = s.open(id)
		}
		if err != nil {
			s.t.Errorf("%s: %v", r.URL.Path, err)
			http.Error(w, "no", http.StatusInternalServerError)
		} else if err := json.NewEncoder(w).Encode(out); err != nil {
			s.t.Error(err)
		}
		return
	}
	if r.URL.Path == "/claim" {
		s.claim(w, r)
		return
	}
	s.record(r)
	s.mu.Lock()
	if r.Method == http.MethodPost && s.block[r.URL.Path] {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	lost := r.Method == http.MethodPost && s.lose[r.URL.Path] > 0
	if lost {
		s.lose[r.URL.Path]--
	}
	s.mu.Unlock()
	if lost {
		s.next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	s.next.ServeHTTP(w, r)
}

// changed changes the message in a page, as a relay could.
func (s *askSite) changed(a *http.Response) error {
	s.mu.Lock()
	change := s.change[a.Request.URL.Path]
	s.mu.Unlock()
	if !change || a.Request.Method != http.MethodGet {
		return nil
	}
	b, err := io.ReadAll(a.Body)
	if err != nil {
		return err
	}
	b = bytes.ReplaceAll(b, []byte("staging"), []byte("production"))
	a.Body = io.NopCloser(bytes.NewReader(b))
	a.Header.Set("Content-Length", strconv.Itoa(len(b)))
	return nil
}

type askedHere struct {
	ID          string `json:"id"`
	URL         string `json:"url"`
	Fingerprint string `json:"fingerprint"`
}

func (s *askSite) ask(kind string) (out askedHere, err error) {
	p := kubbi.AskParams{
		Message: "The key for staging.\n<b>Not bold</b> \u202e é", TTL: time.Hour,
		Fields: []kubbi.Field{{Name: "STRIPE_KEY", Secret: true}},
	}
	switch kind {
	case "unknown":
		return askedHere{URL: s.server.URL + api.PathAnswer + strings.Repeat("A", 43) + "#p=" + strings.Repeat("A", 43)}, nil
	case "fields":
		// The second name would hide a method of the form if it were an input's name.
		p.Fields = append(p.Fields, kubbi.Field{Name: "querySelectorAll"}, kubbi.Field{Name: "PEM", Secret: true, Lines: true})
	case "files":
		p.Files, p.Fields = true, nil
	case "expired":
		p.TTL = time.Minute
	}
	r, err := s.client.Ask(s.ctx, p)
	if err != nil {
		return out, err
	}
	u, err := url.Parse(r.RequestURL)
	if err != nil {
		return out, err
	}
	s.mu.Lock()
	s.requests[r.ID] = r
	switch kind {
	case "lost-once":
		s.lose[u.Path] = 1
	case "lost":
		s.lose[u.Path] = 1000
	case "unreachable":
		s.block[u.Path] = true
	case "changed":
		s.change[u.Path] = true
	}
	s.mu.Unlock()
	switch kind {
	case "expired":
		s.relay.Clock.Advance(time.Minute)
	case "withdrawn":
		_, err = s.client.Withdraw(s.ctx, r.ID)
	case "answered":
		_, err = s.client.Answer(s.ctx, r.RequestURL, kubbi.AnswerParams{Values: map[string]string{"STRIPE_KEY": "x"}})
	}
	return askedHere{r.ID, s.proxied(r.RequestURL), r.Fingerprint}, err
}

// open gives the answer to a request as its asker gets it.
func (s *askSite) open(id string) (any, error) {
	s.mu.Lock()
	r := s.requests[id]
	s.opened++
	s.mu.Unlock()
	asked, err := s.client.Asked(s.ctx, id)
	if err != nil || asked.Status != api.RequestAnswered {
		return map[string]string{"status": string(asked.Status)}, err
	}
	c, err := s.client.Claim(s.ctx, r.ClaimURL)
	if errors.Is(err, kubbi.ErrSealed) {
		return map[string]string{"status": "does not open"}, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]any{"status": "opened"}
	if c.Files == nil {
		var values map[string]string
		err := c.Decode(&values)
		out["values"] = values
		return out, err
	}
	files := []map[string]string{}
	for _, f := range c.Files {
		files = append(files, map[string]string{"name": f.Name, "type": f.ContentType, "encoding": f.Encoding, "content": f.Content})
	}
	out["files"] = files
	return out, nil
}
